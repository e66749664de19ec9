/*
 * The table of settings: sound in itself, and the same in the manual.
 */
#include "unit.h"

#include <stdlib.h>

#include "config/setting-internal.h"

static struct arena *arena;

static int set_up(void **state)
{
    (void)state;
    arena = arena_new(1024 * 1024);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_free(arena);
    return 0;
}

static bool is_simple(const struct config_setting *setting)
{
    return setting->kind != CONFIG_FORWARD && setting->kind != CONFIG_LOG;
}

static void test_table(void **state)
{
    (void)state;
    assert_true(config_setting_count() <= CONFIG_SETTINGS);
    for (size_t i = 0; i < config_setting_count(); i++) {
        const struct config_setting *setting = config_setting_at(i);
        size_t index = SIZE_MAX;

        assert_row(setting->name, config_setting_find(setting->block, span_text(setting->name),
                                                      &index) == setting);
        assert_row(setting->name, index == i); /* no name twice in a block */
        assert_row(setting->name, strlen(setting->help) > 0 && strchr(setting->help, '\n') == NULL);
        assert_row(setting->name, setting->least <= setting->most);
    }
}

/* Each default can be written in a file, is within its limits, and is shown as it stands in the
 * table. */
static void test_defaults_read_and_write(void **state)
{
    (void)state;
    for (size_t i = 0; i < config_setting_count(); i++) {
        const struct config_setting *setting = config_setting_at(i);
        struct config config = {0};
        struct deliver_limits limits = {0};
        void *member = config_setting_member(setting, &config, &limits);
        struct span why, hint;
        struct buffer out;

        if (!is_simple(setting) || setting->initial == NULL) {
            continue;
        }
        assert_row(setting->name, config_setting_read(setting, span_text(setting->initial), member,
                                                      arena, &why, &hint));
        buffer_init(&out, 4096);
        config_setting_write(setting, member, &out);
        assert_span(buffer_span(&out), setting->initial);
        buffer_done(&out);
    }
}

/* At each limit and one beyond. */
static void test_limits(void **state)
{
    (void)state;
    for (size_t i = 0; i < config_setting_count(); i++) {
        const struct config_setting *setting = config_setting_at(i);
        const uint64_t values[] = {setting->least, setting->most, setting->least - 1,
                                   setting->most + 1};

        for (size_t k = 0; k < COUNT(values) && setting->kind <= CONFIG_DURATION; k++) {
            struct config config = {0};
            struct deliver_limits limits = {0};
            void *member = config_setting_member(setting, &config, &limits);
            struct span why, hint, text = config_number_text(setting->kind, values[k], arena);
            bool is_good = config_setting_read(setting, text, member, arena, &why, &hint);

            assert_row(setting->name, is_good == (k < 2));
            assert_row(setting->name,
                       !is_good || config_setting_load(setting, member) == values[k]);
        }
    }
}

static char *read_manual(void)
{
    enum { MANUAL_BYTES = 1024 * 1024, PATH_BYTES = 4096 };
    int folder = (int)(strrchr(__FILE__, '/') + 1 - __FILE__);
    char path[PATH_BYTES], *text = calloc(1, MANUAL_BYTES);
    FILE *file;

    snprintf(path, sizeof(path), "%.*s../../../docs/man/openrelay.conf.5.scd", folder, __FILE__);
    file = fopen(path, "r");
    assert_non_null(file);
    assert_non_null(text);
    assert_true(fread(text, 1, MANUAL_BYTES - 1, file) > 0);
    fclose(file);
    return text;
}

/* The entry: "*name* _VALUE_", then, indented, what it is, the default and the limits. */
static void check_entry(const char *section, const struct config_setting *setting)
{
    struct span limits = config_setting_limits(setting, arena);
    char wanted[256];
    const char *entry, *end;

    snprintf(wanted, sizeof(wanted), "\n*%s* ", setting->name);
    entry = strstr(section, wanted);
    assert_row(setting->name, entry != NULL);
    entry = strchr(entry + 1, '\n') + 1;
    end = strchr(entry, '\n');
    assert_row(setting->name, entry[0] == '\t' && strncmp(entry + 2, setting->help + 1,
                                                          strlen(setting->help) - 1) == 0);
    snprintf(wanted, sizeof(wanted), "Default: %s.",
             setting->initial == NULL ? "" : setting->initial);
    const char *found = strstr(entry, setting->initial == NULL ? "Required." : wanted);
    assert_row(setting->name, found != NULL && found < end);
    if (setting->kind <= CONFIG_DURATION) {
        snprintf(wanted, sizeof(wanted), "Limits: %.*s.", (int)limits.size,
                 (const char *)limits.data);
        found = strstr(entry, wanted);
        assert_row(setting->name, found != NULL && found < end);
    }
}

static void test_manual_names_each(void **state)
{
    static const struct {
        const char *block, *heading;
    } sections[] = {{"", "\n# GENERAL SETTINGS\n"}, {"limits", "\n# LIMITS\n"},
                    {"queue", "\n# QUEUE\n"},       {"deliver", "\n# DELIVERY\n"},
                    {"resolver", "\n# RESOLVER\n"}, {"destinations", "\n# DESTINATIONS\n"}};
    char *manual = read_manual();
    size_t checked = 0;

    (void)state;
    for (size_t i = 0; i < COUNT(sections); i++) {
        const char *start = strstr(manual, sections[i].heading);
        assert_non_null(start);
        const char *end = strstr(start + 1, "\n# ");
        assert_non_null(end);
        char *section = strndup(start, (size_t)(end - start));

        for (size_t k = 0; k < config_setting_count(); k++) {
            if (strcmp(config_setting_at(k)->block, sections[i].block) == 0) {
                check_entry(section, config_setting_at(k));
                checked++;
            }
        }
        free(section);
    }
    assert_int_equal(checked, config_setting_count());
    free(manual);
}

/* ---- Numbers ---- */

static void test_numbers(void **state)
{
    static const struct {
        const char *text;
        enum config_kind kind;
        bool is_good;
        uint64_t value;
    } rows[] = {
        {"0", CONFIG_COUNT, true, 0},
        {"18446744073709551615", CONFIG_COUNT, true, UINT64_MAX},
        {"18446744073709551616", CONFIG_COUNT, false, 0},
        {"", CONFIG_COUNT, false, 0},
        {"+1", CONFIG_COUNT, false, 0},
        {"1K", CONFIG_COUNT, false, 0},
        {"1", CONFIG_SIZE, true, 1},
        {"0", CONFIG_SIZE, true, 0},
        {"3K", CONFIG_SIZE, true, 3072},
        {"2M", CONFIG_SIZE, true, 2097152},
        {"17179869183G", CONFIG_SIZE, true, UINT64_C(18446744072635809792)},
        {"17179869184G", CONFIG_SIZE, false, 0},
        {"1k", CONFIG_SIZE, false, 0},
        {"1T", CONFIG_SIZE, false, 0},
        {"K", CONFIG_SIZE, false, 0},
        {"1.5M", CONFIG_SIZE, false, 0},
        {"0", CONFIG_DURATION, true, 0},
        {"5", CONFIG_DURATION, false, 0},
        {"5ms", CONFIG_DURATION, true, 5},
        {"5s", CONFIG_DURATION, true, 5000},
        {"5m", CONFIG_DURATION, true, 300000},
        {"5h", CONFIG_DURATION, true, 18000000},
        {"5d", CONFIG_DURATION, true, 432000000},
        {"1h30m", CONFIG_DURATION, false, 0},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        uint64_t value = 77;

        assert_row(rows[i].text, config_number_read(rows[i].kind, span_text(rows[i].text),
                                                    &value) == rows[i].is_good);
        assert_row(rows[i].text, !rows[i].is_good || value == rows[i].value);
    }
}

static void test_rates(void **state)
{
    static const struct {
        const char *text;
        uint32_t count, period_s; /* 0: refused */
    } rows[] = {
        {"5/second", 5, 1},
        {"5/minute", 5, 60},
        {"5/hour", 5, 3600},
        {"5/day", 5, 86400},
        {"5/10m", 5, 600},
        {"5/1d", 5, 86400},
        {"5/2d", 0, 0},
        {"5/1500ms", 0, 0},
        {"5/1000ms", 5, 1},
        {"0/hour", 0, 0},
        {"5/0", 0, 0},
        {"5", 0, 0},
        {"5/", 0, 0},
        {"/hour", 0, 0},
        {"5/hours", 0, 0},
        {"1000000000/day", 1000000000, 86400},
        {"1000000001/day", 0, 0},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        uint32_t count = 77, period_s = 77;
        bool is_good = config_number_read_rate(span_text(rows[i].text), &count, &period_s);

        assert_row(rows[i].text, is_good == (rows[i].count > 0));
        assert_row(rows[i].text,
                   !is_good || (count == rows[i].count && period_s == rows[i].period_s));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),   cmocka_unit_test(test_defaults_read_and_write),
        cmocka_unit_test(test_limits),  cmocka_unit_test(test_manual_names_each),
        cmocka_unit_test(test_numbers), cmocka_unit_test(test_rates),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
