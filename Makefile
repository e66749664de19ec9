# Short names; meson.build does the work.
#   make              build the program in build/
#   make demo         send one message through it, and bounce one
#   make test         everything; the last line is `N passed, M failed`
#   make check        the quick part: unit, simulation and house tests
#   make lint         clang-format and clang-tidy
#   make san          unit, simulation and scenario tests under ASan and UBSan
#   make sim          the simulation with SEEDS seeds (make sim SEEDS=100000)
#   make fuzz         each fuzz target for FUZZ_SECONDS
#   make bench        side by side with others
#   make install      DESTDIR and PREFIX as usual

JOBS         ?= 2
PREFIX       ?= /usr/local
FUZZ_SECONDS ?= 60
SEEDS        ?= 10000
PACKAGES     ?= tools/install-packages

# A run that broke off is a failure too, whatever it had counted until then.
define run_tests
	@rm -f $(1)/meson-logs/testlog*
	@status=0; meson test --num-processes $(JOBS) --print-errorlogs -C $(1) $(2) || status=$$?; \
	tools/summary $(1) && exit $$status
endef

.PHONY: build packages demo test check lint san sim fuzz bench install clean

build: packages
	@tools/configure build --prefix $(PREFIX)
	@ninja -C build -j $(JOBS)

packages:
	@$(PACKAGES) build

demo: build
	@tools/demo

test:
	@$(PACKAGES) all
	@tools/configure build --prefix $(PREFIX)
	@ninja -C build -j $(JOBS)
	$(call run_tests,build,)

check: build
	$(call run_tests,build,--suite unit --suite sim --suite house)

lint:
	@$(PACKAGES) all
	@find src tests -name '*.[ch]' | xargs clang-format --dry-run -Werror
	@CC=clang tools/configure build-lint -Dwerror=false
	@run-clang-tidy -quiet -j $(JOBS) -p build-lint "$(CURDIR)/src/.*"

san:
	@$(PACKAGES) all
	@tools/configure build-san -Db_sanitize=address,undefined -Dwerror=false
	@ninja -C build-san -j $(JOBS)
	$(call run_tests,build-san,--suite unit --suite sim --suite scenario)

sim: build
	@build/tests/sim/world-sim -q -n $(SEEDS)

fuzz:
	@$(PACKAGES) all
	@CC=clang tools/configure build-fuzz -Dfuzz=true
	@ninja -C build-fuzz -j $(JOBS) fuzzers
	@tools/fuzz build-fuzz $(FUZZ_SECONDS)

bench: build
	@bench/run

install: build
	@meson install -C build --no-rebuild

clean:
	rm -rf build build-lint build-san build-fuzz
