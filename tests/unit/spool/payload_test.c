/*
 * What payloads refuse: everything that the writers of this program would not write, octet by
 * octet, behind a right checksum or not.
 */
#include "unit.h"

#include "spool/message.h"
#include "spool/record-internal.h"

enum { AT_ENVELOPE = 36, AT_EXTENT = 36 + 11, AT_RECIPIENT = AT_EXTENT + 20 };

static uint8_t payload[256];

/* s@o.example, one extent, r@d.example. */
static struct span make_message(void)
{
    struct spool_payload_message message = {.recipient_count = 1,
                                            .extent_count = 1,
                                            .size = 100,
                                            .ret = 2,
                                            .body = 1,
                                            .flags = SPOOL_PAYLOAD_UTF8,
                                            .address = SPAN("s@o.example"),
                                            .domain = SPAN("o.example")};
    struct spool_payload_extent extent = {.segment = 1, .offset = 8192, .size = 100};
    struct spool_payload_recipient recipient = {.state = SPOOL_HELD,
                                                .warned = true,
                                                .notify = 3,
                                                .address = SPAN("r@d.example"),
                                                .domain = SPAN("d.example")};
    uint8_t *at = spool_payload_message_write(payload, &message);
    spool_payload_extent_write(at, &extent);
    at = spool_payload_recipient_write(at + SPOOL_RECORD_EXTENT_SIZE, &recipient);
    return span_of(payload, (size_t)(at - payload));
}

static void test_message_refused(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t at;
        uint8_t size, value;
    } rows[] = {
        {"less content than its extents have", 8, 8, 99},
        {"no recipients", 16, 4, 0},
        {"more recipients than there is room for", 16, 4, 200},
        {"one recipient more", 16, 4, 2},
        {"more extents", 20, 4, 2},
        {"a longer sender", 24, 2, 250},
        {"a longer ENVID", 28, 2, 250},
        {"a flag nobody knows", 30, 1, 16},
        {"RET nobody knows", 31, 1, 3},
        {"BODY nobody knows", 32, 1, 2},
        {"an extent between records", AT_EXTENT + 8, 1, 1},
        {"an extent longer than any", AT_EXTENT + 18, 1, 2},
        {"a recipient's state nobody knows", AT_RECIPIENT + 7, 1, 5},
        {"a recipient in flight", AT_RECIPIENT + 7, 1, SPOOL_IN_FLIGHT},
        {"a bit of a state nobody knows", AT_RECIPIENT + 7, 1, 16},
        {"a longer recipient", AT_RECIPIENT, 2, 250},
        {"a longer ORCPT", AT_RECIPIENT + 4, 2, 250},
    };
    struct spool_payload_message message;
    assert_true(spool_payload_message_read(make_message(), &message));
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct span whole = make_message();
        memset(payload + rows[i].at, 0, rows[i].size);
        payload[rows[i].at] = rows[i].value;
        assert_row(rows[i].name, !spool_payload_message_read(whole, &message));
    }
    for (size_t size = 0; size < make_message().size; size++) {
        assert_false(spool_payload_message_read(span_first(make_message(), size), &message));
    }
}

/* A domain is a part of the address only if the address is long enough. */
static void test_shared_domain(void **state)
{
    (void)state;
    struct spool_payload_message message;
    struct span whole = make_message();
    spool_record_put16(payload + 26, 0x8000 | 12);
    assert_false(spool_payload_message_read(whole, &message));
    whole = make_message();
    spool_record_put16(payload + AT_RECIPIENT + 2, 0x8000 | 12);
    assert_false(spool_payload_message_read(whole, &message));
    assert_true(spool_payload_domain_is_shared(SPAN("r@d.example"), SPAN("d.example")));
    assert_false(spool_payload_domain_is_shared(SPAN("r@d.example"), SPAN("D.example")));
    assert_false(spool_payload_domain_is_shared(SPAN("r@d"), SPAN("r@d.example")));
}

static void test_own_domain(void **state)
{
    (void)state;
    struct spool_payload_recipient out, in = {.address = SPAN("r@D.example"),
                                              .domain = SPAN("d.example"),
                                              .orcpt = SPAN("rfc822;r@d.example")};
    uint8_t *end = spool_payload_recipient_write(payload, &in);
    struct span rest = span_of(payload, (size_t)(end - payload));
    assert_int_equal(rest.size, spool_payload_recipient_size(&in));
    for (size_t size = 0; size < rest.size; size++) {
        struct span part = span_first(rest, size);
        assert_false(spool_payload_recipient_next(&part, &out));
        assert_int_equal(part.size, size);
    }
    assert_true(spool_payload_recipient_next(&rest, &out));
    assert_span(out.address, "r@D.example");
    assert_span(out.domain, "d.example");
    assert_span(out.orcpt, "rfc822;r@d.example");
}

static void test_mark_refused(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t at;
        uint16_t value;
    } rows[] = {
        {"a state nobody knows", 16, 5},
        {"in flight", 16, SPOOL_IN_FLIGHT},
        {"warned twice", 16, 3 | 2 << 8},
        {"too many recipients", 18, SPOOL_RECORD_INDEXES + 1},
        {"a reply too long", 20, SPOOL_RECORD_REPLY + 1},
        {"a name too long", 22, SPOOL_RECORD_REMOTE + 1},
        {"a recipient more", 18, 2},
        {"a longer reply", 20, 4},
        {"a longer name", 22, 3},
        {"a shorter name", 22, 1},
    };
    static uint8_t large[4096];
    struct spool_payload_mark out, in = {.home = 1,
                                         .state = SPOOL_DELIVERED,
                                         .count = 1,
                                         .indexes = SPAN("\0\0\0\0"),
                                         .reply = SPAN("250"),
                                         .remote = SPAN("mx")};
    for (size_t i = 0; i < COUNT(rows); i++) {
        spool_payload_mark_write(large, &in);
        assert_true(spool_payload_mark_read(span_of(large, spool_payload_mark_size(&in)), &out));
        spool_record_put16(large + rows[i].at, rows[i].value);
        assert_row(rows[i].name,
                   !spool_payload_mark_read(span_of(large, spool_payload_mark_size(&in)), &out));
        /* and it is not for want of octets */
        assert_row(rows[i].name, !spool_payload_mark_read(span_of(large, sizeof(large)), &out));
    }
}

static void test_extents_refused(void **state)
{
    (void)state;
    struct spool_payload_extents out;
    struct spool_payload_extent one = {.segment = 1, .offset = 8192, .size = 100};
    struct span whole = span_of(payload, 16 + SPOOL_RECORD_EXTENT_SIZE);
    memset(payload, 0, sizeof(payload));
    spool_record_put32(payload + 8, 1);
    spool_payload_extent_write(payload + 16, &one);
    assert_true(spool_payload_extents_read(whole, &out));
    assert_int_equal(out.count, 1);
    for (size_t size = 0; size < whole.size; size++) {
        assert_false(spool_payload_extents_read(span_first(whole, size), &out));
        struct span part = span_first(span_from(whole, 16), size);
        assert_int_equal(spool_payload_extent_next(&part, &one), size >= SPOOL_RECORD_EXTENT_SIZE);
    }
    spool_record_put64(payload + 16 + 8, 8196);
    assert_false(spool_payload_extents_read(whole, &out));
}

static void test_kinds(void **state)
{
    (void)state;
    uint8_t header[SPOOL_RECORD_HEADER];
    struct spool_record record;
    for (int kind = 0; kind < 9; kind++) {
        spool_record_write(header, 1, (enum spool_record_kind)kind, 1, 1, (struct span){0});
        assert_int_equal(spool_record_read(span_of(header, sizeof(header)), 1, &record),
                         kind >= SPOOL_RECORD_BODY && kind <= SPOOL_RECORD_GROUP);
    }
}

/* A header that was being rewritten when the power went: the first copy has the new number. */
static void test_header_copies(void **state)
{
    (void)state;
    static uint8_t block[SPOOL_SEGMENT_START], newer[SPOOL_SEGMENT_START];
    struct spool_segment_header header = {.number = 3, .stamp = 1};
    spool_segment_header_write(block, &header);
    header = (struct spool_segment_header){.number = 7, .stamp = 2};
    spool_segment_header_write(newer, &header);
    memcpy(block, newer, 512);
    assert_int_equal(spool_segment_header_read(span_of(block, sizeof(block)), &header),
                     SPOOL_SEGMENT_VALID);
    assert_int_equal(header.number, 7);
    memcpy(block, newer, sizeof(block));
    block[9] ^= 1;
    memset(block + SPOOL_SEGMENT_COPY, 0, SPOOL_SEGMENT_HEADER);
    assert_int_equal(spool_segment_header_read(span_of(block, sizeof(block)), &header),
                     SPOOL_SEGMENT_BLANK);
    block[SPOOL_SEGMENT_COPY] = 1;
    assert_int_equal(spool_segment_header_read(span_of(block, sizeof(block)), &header),
                     SPOOL_SEGMENT_DAMAGED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_message_refused), cmocka_unit_test(test_shared_domain),
        cmocka_unit_test(test_own_domain),      cmocka_unit_test(test_mark_refused),
        cmocka_unit_test(test_extents_refused), cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_header_copies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
