/*
 * The parts of bench/load that could lie without anybody noticing: bucket borders and quantiles,
 * replies and ends of content cut anywhere, sizes of letters.
 */
#include <stdlib.h>

#include "load/content.h"
#include "load/histogram.h"
#include "load/letter.h"
#include "load/mix.h"
#include "load/reply.h"
#include "load/text.h"
#include "unit.h"

static void buckets_have_no_gap_and_no_overlap(void **state)
{
    (void)state;
    assert_int_equal(load_histogram_low(0), 0);
    for (unsigned i = 0; i < LOAD_HISTOGRAM_BUCKETS; i++) {
        uint64_t low = load_histogram_low(i);
        uint64_t high = load_histogram_high(i);
        assert_true(low <= high);
        assert_int_equal(load_histogram_bucket(low), i);
        assert_int_equal(load_histogram_bucket(high), i);
        if (i + 1 < LOAD_HISTOGRAM_BUCKETS) {
            assert_true(load_histogram_low(i + 1) == high + 1);
        }
        /* No wider than a 64th of what is in it. */
        assert_true(high - low <= low / 64);
    }
    assert_true(load_histogram_high(LOAD_HISTOGRAM_BUCKETS - 1) == UINT64_MAX);
}

static void borders_are_where_they_are_said_to_be(void **state)
{
    (void)state;
    static const struct {
        uint64_t value;
        unsigned bucket;
    } rows[] = {
        {0, 0},     {63, 63},   {64, 64},   {127, 127}, {128, 128},         {129, 128},
        {130, 129}, {255, 191}, {256, 192}, {259, 192}, {UINT64_MAX, 3775},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_int_equal(load_histogram_bucket(rows[i].value), rows[i].bucket);
    }
}

static void quantiles_are_ranks(void **state)
{
    (void)state;
    struct load_histogram *histogram = calloc(2, sizeof *histogram);
    assert_int_equal(load_histogram_quantile(&histogram[0], 0.5), 0);
    for (uint64_t value = 1; value <= 50; value++) {
        load_histogram_add(&histogram[0], value);
        load_histogram_add(&histogram[1], value + 50);
    }
    load_histogram_merge(&histogram[0], &histogram[1]);
    /* Up to 127 every value has a bucket of its own. */
    assert_int_equal(histogram[0].count, 100);
    assert_int_equal(load_histogram_quantile(&histogram[0], 0), 1);
    assert_int_equal(load_histogram_quantile(&histogram[0], 0.5), 50);
    assert_int_equal(load_histogram_quantile(&histogram[0], 0.501), 51);
    assert_int_equal(load_histogram_quantile(&histogram[0], 0.99), 99);
    assert_int_equal(load_histogram_quantile(&histogram[0], 1), 100);
    /* One far out: the tail is seen, and the top of its bucket does not exceed it. */
    load_histogram_add(&histogram[0], 1000001);
    assert_int_equal(load_histogram_quantile(&histogram[0], 1), 1000001);
    assert_int_equal(histogram[0].max, 1000001);
    free(histogram);
}

/* The codes of all replies in the text, read in pieces of `step` octets; 0 ends them. */
static void read_codes(const char *text, size_t step, int *ret_codes, unsigned *ret_offers)
{
    struct load_reply reply = {0};
    size_t size = strlen(text);
    unsigned count = 0;
    for (size_t from = 0; from < size; from += step) {
        const char *at = text + from;
        const char *end = text + (from + step < size ? from + step : size);
        enum load_reply_result result = LOAD_REPLY_MORE;
        while (at < end && (result = load_reply_next(&reply, &at, end)) != LOAD_REPLY_BAD) {
            if (result == LOAD_REPLY_DONE) {
                ret_codes[count++] = reply.code;
                *ret_offers |= reply.offers;
            }
        }
        if (result == LOAD_REPLY_BAD) {
            ret_codes[count] = -1;
            return;
        }
    }
    ret_codes[count] = 0;
}

static void replies_are_the_same_however_cut(void **state)
{
    (void)state;
    static const char TEXT[] =
        "220 hi\r\n250-me\r\n250-pipelining\r\n250-CHUNKINGS\r\n250 SIZE 0\r\n"
        "250 2.1.0 ok\r\n354\r\n451 4.3.0 later\r\n550-no\r\n550 never\r\n221 \n";
    static const int CODES[] = {220, 250, 250, 354, 451, 550, 221, 0};
    for (size_t step = 1; step <= sizeof TEXT; step++) {
        int codes[16];
        unsigned offers = 0;
        read_codes(TEXT, step, codes, &offers);
        assert_memory_equal(codes, CODES, sizeof CODES);
        assert_int_equal(offers, LOAD_OFFER_PIPELINING);
    }
}

static void what_is_no_reply_is_bad(void **state)
{
    (void)state;
    static const char *const TEXTS[] = {"hello\r\n", "25\r\n",         "\r\n",      "2500 x\r\n",
                                        "650 x\r\n", "250-a\r\nb\r\n", "25x ok\r\n"};
    for (size_t i = 0; i < COUNT(TEXTS); i++) {
        for (size_t step = 1; step < 10; step++) {
            int codes[4];
            unsigned offers = 0;
            read_codes(TEXTS[i], step, codes, &offers);
            assert_row(TEXTS[i], codes[0] == -1);
        }
    }
    char long_line[LOAD_REPLY_LINE_MAX + 2];
    memset(long_line, '2', sizeof long_line);
    const char *at = long_line;
    struct load_reply reply = {0};
    assert_int_equal(load_reply_next(&reply, &at, long_line + sizeof long_line), LOAD_REPLY_BAD);
}

static void content_ends_at_the_same_place_however_cut(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t end; /* 0: nowhere */
    } rows[] = {
        {".\r\n", 3},
        {"a\r\n.\r\n", 6},
        {"a\r\n.\r\nQUIT\r\n", 6},
        {"a.\r\n.b\r\n..\r\n.\r\n.\r\n", 15},
        {"a\n.\n\r\n.\r\n", 9},
        {"\r\r\n.\r\n", 6},
        {"a\r\n\r\n..\r\n", 0},
        {"a.\r\n\r\n", 0},
        {"\r\n.\n\r\n", 0},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        size_t size = strlen(rows[i].text);
        for (size_t step = 1; step <= size; step++) {
            struct load_content content;
            size_t end = 0;
            load_content_begin(&content);
            for (size_t from = 0; from < size && end == 0; from += step) {
                size_t piece = size - from < step ? size - from : step;
                size_t found = load_content_find_end(&content, rows[i].text + from, piece);
                end = found > 0 ? from + found : 0;
            }
            assert_row(rows[i].text, end == rows[i].end);
        }
    }
}

static void mixes_keep_their_shares(void **state)
{
    (void)state;
    struct load_mix mix;
    static const char *const BAD[] = {"", "x", "1k:", "1k:0", "1k,", "3m", "1k:1:1", "-1"};
    for (size_t i = 0; i < COUNT(BAD); i++) {
        assert_row(BAD[i], !load_mix_parse(BAD[i], 2U << 20, &mix));
    }
    assert_true(load_mix_parse("1k:50,10K:40,1m:10", 2U << 20, &mix));
    assert_int_equal(load_mix_largest(&mix), 1 << 20);
    uint64_t random = 1;
    unsigned counts[3] = {0};
    for (unsigned i = 0; i < 10000; i++) {
        size_t size = load_mix_pick(&mix, &random);
        counts[size == 1024 ? 0 : size == 10240 ? 1 : 2]++;
    }
    /* Always the same numbers: the seed is. */
    assert_in_range(counts[0], 4800, 5200);
    assert_in_range(counts[1], 3800, 4200);
    assert_in_range(counts[2], 850, 1150);
}

static bool has_bare_newline(const char *data, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        bool is_bare_cr = data[i] == '\r' && (i + 1 == size || data[i + 1] != '\n');
        bool is_bare_lf = data[i] == '\n' && (i == 0 || data[i - 1] != '\r');
        if (is_bare_cr || (is_bare_lf && i > 0)) {
            return true;
        }
    }
    return false;
}

static void letters_have_the_size_asked_for(void **state)
{
    (void)state;
    struct load_plan plan = {
        .threads = 1, .recipients = 1, .domains = 1, .from = "a@b.example", .to = "c@d.example"};
    plan.mix.count = 1;
    struct load_text text = load_letter_text(1024);
    for (size_t size = 0; size <= 1024; size++) {
        struct load_letters letters;
        struct load_letter letter = {0};
        plan.mix.sizes[0] = size;
        load_letters_init(&letters, &plan, text, 1, 0);
        load_letter_write(&letters, 42, false, &letter);
        size_t least = letters.header_size + 2;
        assert_int_equal(letter.content_size, size > least ? size : least);
        assert_int_equal(letter.content_size,
                         letter.front_size - letter.commands_size + letter.body_size + 2);
        assert_true(letter.body + letter.body_size <= text.data + text.size);
        assert_false(has_bare_newline(letter.body, letter.body_size));
        assert_memory_equal(letter.token, "00000001-00-0000000042", LOAD_LETTER_TOKEN_SIZE);
        free(letter.front);
        load_letters_done(&letters);
    }
    free(text.data);
}

static void domains_go_round(void **state)
{
    (void)state;
    struct load_plan plan = {
        .threads = 1, .recipients = 2, .domains = 3, .from = "", .to = "c@d.example"};
    plan.mix = (struct load_mix){.sizes = {0}, .upto = {1}, .count = 1};
    struct load_text text = load_letter_text(0);
    struct load_letters letters;
    struct load_letter letter = {0};
    load_letters_init(&letters, &plan, text, 1, 0);
    load_letter_write(&letters, 0, false, &letter);
    load_letter_write(&letters, 1, true, &letter);
    assert_span(((struct span){(const uint8_t *)letter.front, letter.commands_size}),
                "MAIL FROM:<>\r\nRCPT TO:<c0@d2.d.example>\r\nRCPT TO:<c1@d0.d.example>\r\n");
    assert_memory_equal(letter.front + letter.commands_size, "BDAT ", 5);
    free(letter.front);
    load_letters_done(&letters);
    free(text.data);
}

static void addresses_and_numbers_are_read_whole(void **state)
{
    (void)state;
    struct load_address address;
    uint16_t last = 0;
    uint64_t number = 0;
    double decimal = 0;
    assert_true(load_text_address("127.0.0.1:25-27", &address, &last));
    assert_int_equal(load_text_port(&address), 25);
    assert_int_equal(last, 27);
    assert_true(load_text_address("[::1]:25", &address, NULL));
    assert_int_equal(address.address.ss_family, AF_INET6);
    static const char *const BAD[] = {"127.0.0.1",     "127.0.0.1:",  "127.0.0.1:70000",
                                      "127.0.0.1:3-2", "127.0.0.1:x", "127.0.0.1:1-"};
    for (size_t i = 0; i < COUNT(BAD); i++) {
        assert_row(BAD[i], !load_text_address(BAD[i], &address, &last));
    }
    assert_false(load_text_address("127.0.0.1:25-27", &address, NULL));
    assert_true(load_text_number("4k", 4096, &number));
    assert_int_equal(number, 4096);
    assert_false(load_text_number("4k", 4095, &number));
    assert_false(load_text_number("99999999999999999999", UINT64_MAX - 1, &number));
    assert_false(load_text_number("4kk", UINT64_MAX, &number));
    assert_false(load_text_decimal("1.5", 1, &decimal));
    assert_false(load_text_decimal("nan", 1, &decimal));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buckets_have_no_gap_and_no_overlap),
        cmocka_unit_test(borders_are_where_they_are_said_to_be),
        cmocka_unit_test(quantiles_are_ranks),
        cmocka_unit_test(replies_are_the_same_however_cut),
        cmocka_unit_test(what_is_no_reply_is_bad),
        cmocka_unit_test(content_ends_at_the_same_place_however_cut),
        cmocka_unit_test(mixes_keep_their_shares),
        cmocka_unit_test(letters_have_the_size_asked_for),
        cmocka_unit_test(domains_go_round),
        cmocka_unit_test(addresses_and_numbers_are_read_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
