#include "unit.h"

#include <stdlib.h>

#include "spool/message.h"
#include "spool/record-internal.h"

static const uint64_t stamp = UINT64_C(0x1122334455667788);

static void test_checksum(void **state)
{
    (void)state;
    const struct {
        const char *name;
        struct span bytes;
        uint32_t expected;
    } rows[] = {
        /* RFC 3720 B.4 and the usual check value */
        {"nine digits", SPAN("123456789"), 0xe3069283},
        {"nothing", SPAN(""), 0},
        {"32 zeros", SPAN("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
         0x8a9136aa},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_row(rows[i].name, spool_checksum(rows[i].bytes) == rows[i].expected);
        assert_row(rows[i].name, spool_checksum_by_table(rows[i].bytes) == rows[i].expected);
    }
    uint8_t bytes[300];
    uint64_t seed = 5;
    for (size_t size = 0; size < sizeof(bytes); size++) {
        bytes[size] = (uint8_t)unit_random(&seed);
        assert_int_equal(spool_checksum(span_of(bytes, size)),
                         spool_checksum_by_table(span_of(bytes, size)));
    }
}

/* Every bit of a record flipped, and every length cut: nothing passes. */
static void test_record(void **state)
{
    (void)state;
    struct spool_record record;
    struct span payload;
    for (size_t size = 0; size < 90; size += 13) {
        uint8_t bytes[SPOOL_RECORD_HEADER + 100] = {0};
        for (size_t i = 0; i < size; i++) {
            bytes[SPOOL_RECORD_HEADER + i] = (uint8_t)(i * 3);
        }
        spool_record_write(bytes, stamp, SPOOL_RECORD_MARK, 77, 99,
                           span_of(bytes + SPOOL_RECORD_HEADER, size));
        struct span whole = span_of(bytes, SPOOL_RECORD_HEADER + size);
        assert_true(spool_record_read_whole(whole, stamp, &record, &payload));
        assert_int_equal(record.kind, SPOOL_RECORD_MARK);
        assert_int_equal(record.id, 77);
        assert_int_equal(record.group, 99);
        assert_int_equal(payload.size, size);
        assert_int_equal(spool_record_bytes(size) % SPOOL_RECORD_ALIGN, 0);
        assert_false(spool_record_read_whole(whole, stamp + 1, &record, &payload));
        for (size_t bit = 0; bit < whole.size * 8; bit++) {
            bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
            assert_false(spool_record_read_whole(whole, stamp, &record, &payload));
            bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        for (size_t cut = 0; cut < whole.size; cut++) {
            assert_false(spool_record_read_whole(span_first(whole, cut), stamp, &record, &payload));
        }
    }
}

static void test_segment_header(void **state)
{
    (void)state;
    uint8_t block[SPOOL_SEGMENT_START] = {0};
    struct spool_segment_header in = {.number = 3, .stamp = stamp, .last_id = 12}, out;
    struct span span = span_of(block, sizeof(block));
    assert_int_equal(spool_segment_header_read(span, &out), SPOOL_SEGMENT_BLANK);
    assert_int_equal(spool_segment_header_read(span_first(span, 5), &out), SPOOL_SEGMENT_DAMAGED);
    spool_segment_header_write(block, &in);
    for (size_t bit = 0; bit < (size_t)SPOOL_SEGMENT_HEADER * 8; bit++) { /* the copy saves it */
        block[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(spool_segment_header_read(span, &out), SPOOL_SEGMENT_VALID);
        assert_int_equal(out.number, 3);
        assert_int_equal(out.stamp, stamp);
        assert_int_equal(out.last_id, 12);
        block[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    block[20] ^= 1;
    block[SPOOL_SEGMENT_COPY + 33] ^= 1;
    assert_int_equal(spool_segment_header_read(span, &out), SPOOL_SEGMENT_DAMAGED);
}

static void test_mark_payload(void **state)
{
    (void)state;
    uint8_t indexes[8] = {1, 0, 0, 0, 9, 1, 0, 0}, bytes[200];
    struct spool_payload_mark out, in = {.home = 5,
                                         .attempted_ms = -7,
                                         .state = 2,
                                         .warned = true,
                                         .count = 2,
                                         .indexes = span_of(indexes, 8),
                                         .reply = SPAN("451 no"),
                                         .remote = SPAN("mx")};
    size_t size = spool_payload_mark_size(&in);
    spool_payload_mark_write(bytes, &in);
    assert_true(spool_payload_mark_read(span_of(bytes, size), &out));
    assert_int_equal(out.home, 5);
    assert_int_equal(out.attempted_ms, -7);
    assert_int_equal(out.state, 2);
    assert_true(out.warned);
    assert_true(span_equal(out.indexes, in.indexes));
    assert_span(out.reply, "451 no");
    assert_span(out.remote, "mx");
    for (size_t cut = 0; cut < size; cut++) {
        assert_false(spool_payload_mark_read(span_of(bytes, cut), &out));
    }
    assert_false(spool_payload_mark_read(span_of(bytes, size + 1), &out));
    bytes[16] = 5; /* no such state */
    assert_false(spool_payload_mark_read(span_of(bytes, size), &out));
}

static void test_message_payload(void **state)
{
    (void)state;
    struct spool_payload_message out, in = {.arrival_ms = 1,
                                            .size = 1000,
                                            .flags = 3,
                                            .ret = 2,
                                            .body = 1,
                                            .recipient_count = 2,
                                            .extent_count = 1,
                                            .address = SPAN("a@B.example"),
                                            .domain = SPAN("b.example"),
                                            .envid = SPAN("e")};
    struct spool_payload_recipient got,
        recipients[2] = {{.notify = 4,
                          .state = 3,
                          .warned = true,
                          .address = SPAN("x@y.example"),
                          .domain = SPAN("y.example"),
                          .orcpt = SPAN("rfc822;z")},
                         {.address = SPAN("q@Y.example"), .domain = SPAN("y.example")}};
    struct spool_payload_extent extent, where = {.segment = 7, .offset = 8192, .size = 1000};
    size_t size = spool_payload_message_size(&in) + spool_payload_recipient_size(&recipients[0]) +
                  spool_payload_recipient_size(&recipients[1]);
    uint8_t *bytes = malloc(size + 1), *at = spool_payload_message_write(bytes, &in);
    spool_payload_extent_write(at, &where);
    at = spool_payload_recipient_write(at + SPOOL_RECORD_EXTENT_SIZE, &recipients[0]);
    at = spool_payload_recipient_write(at, &recipients[1]);
    assert_int_equal(at - bytes, size);
    assert_true(spool_payload_message_read(span_of(bytes, size), &out));
    assert_int_equal(out.size, 1000);
    assert_int_equal(out.flags, 3);
    assert_span(out.address, "a@B.example");
    assert_span(out.domain, "b.example"); /* another spelling: stored apart */
    assert_span(out.envid, "e");
    assert_true(spool_payload_extent_next(&out.extents, &extent));
    assert_int_equal(extent.segment, 7);
    assert_int_equal(extent.offset, 8192);
    for (size_t i = 0; i < 2; i++) {
        assert_true(spool_payload_recipient_next(&out.recipients, &got));
        assert_true(span_equal(got.address, recipients[i].address));
        assert_true(span_equal(got.domain, recipients[i].domain));
        assert_true(span_equal(got.orcpt, recipients[i].orcpt));
        assert_int_equal(got.notify, recipients[i].notify);
        assert_int_equal(got.state, recipients[i].state);
        assert_int_equal(got.warned, recipients[i].warned);
    }
    for (size_t cut = 0; cut < size; cut++) {
        assert_false(spool_payload_message_read(span_of(bytes, cut), &out));
    }
    assert_false(spool_payload_message_read(span_of(bytes, size + 1), &out));
    free(bytes);
}

static void test_ids(void **state)
{
    (void)state;
    static const uint64_t ids[] = {1, 30, 31, 32, UINT64_C(1) << 58, UINT64_MAX};
    char text[SPOOL_ID_SIZE], last[SPOOL_ID_SIZE] = "";
    for (size_t i = 0; i < COUNT(ids); i++) {
        spool_message_write_id(ids[i], text);
        assert_true(strcmp(last, text) < 0);
        assert_int_equal(spool_message_parse_id(span_text(text)), ids[i]);
        snprintf(last, sizeof(last), "%s", text);
    }
    static const char *const wrong[] = {"",
                                        "1",
                                        "00000000000A1",
                                        "0000000000000",
                                        "00000000000011",
                                        "ZZZZZZZZZZZZZ",
                                        "0000000000 11",
                                        "000000000000z"};
    for (size_t i = 0; i < COUNT(wrong); i++) {
        assert_row(wrong[i], spool_message_parse_id(span_text(wrong[i])) == 0);
    }
    assert_int_equal(spool_message_parse_id(SPAN("000000000000\0")), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_checksum),        cmocka_unit_test(test_record),
        cmocka_unit_test(test_segment_header),  cmocka_unit_test(test_mark_payload),
        cmocka_unit_test(test_message_payload), cmocka_unit_test(test_ids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
