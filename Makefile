# Short names; meson.build does the work.
#   make              build the program in build/
#   make demo         send one message through it, and bounce one
#   make test         everything; the last line is `N passed, M failed`
#   make check        the quick part: unit, simulation and house tests
#   make lint         clang-format and clang-tidy
#   make san          unit, simulation, scenario, hostile and fuzz corpus tests under ASan and UBSan
#   make sim          the simulation with SEEDS seeds (make sim SEEDS=100000 JOBS=2)
#   make planted      bugs planted in a copy of the tree: the simulation must find each
#   make soak         a day of mixed load and trouble; SECONDS=600 for less (bench/soak)
#   make crash        kills, power cuts, full disks, faults, at full size (tests/crash/README.md)
#   make fuzz         each fuzz target for FUZZ_SECONDS (60), JOBS at a time
#   make coverage     lines and branches that the tests run; what spool/ and policy/ never do
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

.PHONY: build packages demo test check lint san sim planted crash soak fuzz coverage bench install clean

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
	$(call run_tests,build-san,--suite unit --suite sim --suite scenario --suite fuzz \
		--suite hostile)

sim: build
	@build/tests/sim/world-sim -q -j $(JOBS) -n $(SEEDS)

planted:
	@$(PACKAGES) all
	@tests/sim/planted/run -j $(JOBS)

crash:
	@$(PACKAGES) all
	@tools/configure build --prefix $(PREFIX)
	@ninja -C build -j $(JOBS)
	@tests/crash/run

soak: build
	@OPENRELAY=build/openrelay bench/soak

fuzz:
	@$(PACKAGES) all
	@CC=clang tools/configure build-fuzz -Dfuzz=true -Dwerror=false
	@ninja -C build-fuzz -j $(JOBS) fuzzers
	@tools/fuzz --jobs $(JOBS) build-fuzz $(FUZZ_SECONDS)

coverage:
	@$(PACKAGES) all
	@CC=clang tools/configure build-coverage -Dwerror=false -Doptimization=1 \
		"-Dc_args=-fprofile-instr-generate -fcoverage-mapping -mllvm -runtime-counter-relocation" \
		-Dc_link_args=-fprofile-instr-generate
	@ninja -C build-coverage -j $(JOBS)
	@tools/coverage --check build-coverage

bench: build
	@bench/run

install: build
	@meson install -C build --no-rebuild

clean:
	rm -rf build build-lint build-san build-fuzz build-coverage
