/*
 * header: what the scan counts, whatever the pieces; agreement with a slow second opinion on random
 * content; single fields of a whole header.
 */
#include "unit.h"

#include <stdlib.h>

#include "protocol/mail/header.h"

#define TEN "0123456789"

struct row {
    const char *text;
    uint64_t header_size;
    uint32_t received;
    uint64_t longest;
    bool ended, header_8bit, body_8bit, date, message_id, from;
};

static const struct row rows[] = {
    {"", 0, 0, 0, false, false, false, false, false, false},
    {"\r\n", 2, 0, 0, true, false, false, false, false, false},
    {"a: b\r\n", 6, 0, 4, false, false, false, false, false, false},
    {"a: b\r\n\r\n", 8, 0, 4, true, false, false, false, false, false},
    {"From: x\r\nDATE: y\r\nMessage-Id: z\r\n\r\nhello\r\n", 35, 0, 13, true, false, false, true,
     true, true},
    {"Received: a\r\n b\r\nreceived:c\r\nX-Received: d\r\nReceived : e\r\n\r\nReceived: f\r\n", 60,
     3, 13, true, false, false, false, false, false},
    {"a: b\r\n Received: c\r\n\r\n", 22, 0, 12, true, false, false, false, false, false},
    {"a: \xc3\xbc\r\n\r\nx\r\n", 9, 0, 5, true, true, false, false, false, false},
    {"a: b\r\n\r\n\xc3\xbc\r\n", 8, 0, 4, true, false, true, false, false, false},
    /* the first line that is no field ends the header before it */
    {"just text\r\nFrom: x\r\n", 0, 0, 9, true, false, false, false, false, false},
    {"a: b\r\nno field here: x\r\nFrom: x\r\n", 6, 0, 16, true, false, false, false, false, false},
    {" lead: x\r\nFrom: x\r\n", 0, 0, 8, true, false, false, false, false, false},
    {": x\r\nFrom: x\r\n", 0, 0, 7, true, false, false, false, false, false},
    {"From a@b Mon Jan  1\r\nFrom: x\r\n", 0, 0, 19, true, false, false, false, false, false},
    {"\r\nbody: x\r\n", 2, 0, 7, true, false, false, false, false, false},
    {"S\xc3\xbc"
     "b: x\r\n\r\n",
     0, 0, 7, true, false, true, false, false, false},
    {"name\r\n", 0, 0, 4, true, false, false, false, false, false},
    {"name \r\n", 0, 0, 5, true, false, false, false, false, false},
    {"From\t : x\r\n\r\n", 13, 0, 9, true, false, false, false, false, true},
    {"a: b\r\n \r\n\r\n", 11, 0, 4, true, false, false, false, false, false},
    /* only CRLF ends a line */
    {"a: b\n\r\n\r\n", 9, 0, 5, true, false, false, false, false, false},
    {"a: b\r\r\n\r\n", 9, 0, 5, true, false, false, false, false, false},
    {"\rX: a\r\n", 0, 0, 5, true, false, false, false, false, false},
    {"a:\r\n\r\n1\n2\r\n\r3\r\n", 6, 0, 3, true, false, false, false, false, false},
    {"Received-SPF: x\r\nReceivedReceivedReceivedReceivedRec: y\r\nDate" TEN TEN TEN ": z\r\n\r\n",
     98, 0, 38, true, false, false, false, false, false},
    {"a: b\r\n\r\n" TEN "\r\n" TEN TEN TEN "\r\n" TEN "\r\n" TEN TEN "\r\n", 8, 0, 30, true, false,
     false, false, false, false},
    {"a: b\r\n\r\n1\r\n" TEN TEN, 8, 0, 20, true, false, false, false, false, false},
    {"a: b\r\n\r\n1\r\n" TEN TEN "\r", 8, 0, 20, true, false, false, false, false, false},
};

static void check_row(const struct row *row, const struct mail_header_scan *scan)
{
    if (scan->header_size_bytes != row->header_size) {
        print_error("header size %u\n", (unsigned)scan->header_size_bytes);
    }
    assert_row(row->text, scan->size_bytes == strlen(row->text));
    assert_row(row->text, scan->header_size_bytes == row->header_size);
    assert_row(row->text, scan->received_count == row->received);
    assert_row(row->text, scan->longest_line_bytes == row->longest);
    assert_row(row->text, scan->header_ended == row->ended);
    assert_row(row->text, scan->header_is_8bit == row->header_8bit);
    assert_row(row->text, scan->body_is_8bit == row->body_8bit);
    assert_row(row->text, scan->has_date == row->date);
    assert_row(row->text, scan->has_message_id == row->message_id);
    assert_row(row->text, scan->has_from == row->from);
}

/* Each piece in memory of its own, so that a look beyond it is seen. */
static void feed(struct mail_header_scan *scan, struct span piece)
{
    uint8_t *copy = malloc(piece.size > 0 ? piece.size : 1);
    assert_non_null(copy);
    if (piece.size > 0) {
        memcpy(copy, piece.data, piece.size);
    }
    mail_header_scan_feed(scan, span_of(copy, piece.size));
    free(copy);
}

static void scans_however_cut(void **state)
{
    for (size_t r = 0; r < COUNT(rows); r++) {
        struct span text = span_text(rows[r].text);
        struct mail_header_scan scan;
        mail_header_scan_init(&scan);
        for (size_t i = 0; i < text.size; i++) {
            feed(&scan, span_of(text.data + i, 1));
        }
        check_row(&rows[r], &scan);
        for (size_t cut = 0; cut <= text.size; cut++) {
            mail_header_scan_init(&scan);
            feed(&scan, span_first(text, cut));
            feed(&scan, span_from(text, cut));
            check_row(&rows[r], &scan);
        }
    }
    (void)state;
}

/* The second opinion: lines one by one, nothing clever. `text` has CRLF line ends only. */
static struct mail_header_scan slow_scan(struct span text)
{
    struct mail_header_scan scan = {.size_bytes = text.size};
    bool in_header = true;
    for (size_t at = 0; at < text.size;) {
        size_t end = at, size;
        while (end < text.size && !span_starts(span_from(text, end), SPAN("\r\n"))) {
            end++;
        }
        size = end - at;
        if (size > 0 && end == text.size && text.data[end - 1] == '\r') {
            size--;
        }
        if (size > scan.longest_line_bytes) {
            scan.longest_line_bytes = size;
        }
        size_t next = end + 2 > text.size ? text.size : end + 2;
        for (size_t i = at; i < end; i++) {
            bool *is_8bit = in_header ? &scan.header_is_8bit : &scan.body_is_8bit;
            *is_8bit = *is_8bit || text.data[i] >= 0x80;
        }
        if (in_header && end == at) {
            in_header = false;
            scan.header_size_bytes = next;
        }
        at = next;
    }
    return scan;
}

static void agrees_with_the_slow_way(void **state)
{
    enum { ROUNDS = 2000, SIZE = 1200 };
    uint64_t random = 42;
    for (int round = 0; round < ROUNDS; round++) {
        uint8_t text[SIZE] = "a: b\r\n\r\n";
        size_t size = 8, wanted = 8 + unit_random(&random) % (SIZE - 8);
        unsigned spread = 1 + (unsigned)(unit_random(&random) % 300);
        while (size < wanted) {
            uint64_t dice = unit_random(&random);
            if (dice % spread == 0 && size + 2 <= wanted) {
                text[size++] = '\r';
                text[size++] = '\n';
            } else {
                text[size++] = dice >> 32 == 7 ? 0xe4 : (uint8_t)('a' + dice % 26);
            }
        }
        if (round % 3 == 0) {
            text[8 + unit_random(&random) % (size - 8 + 1)] = 0x80;
            size = size < 9 ? 9 : size;
        }
        struct mail_header_scan expected = slow_scan(span_of(text, size)), scan;
        mail_header_scan_init(&scan);
        for (size_t at = 0; at < size;) {
            size_t piece = 1 + unit_random(&random) % 400;
            piece = piece > size - at ? size - at : piece;
            feed(&scan, span_of(text + at, piece));
            at += piece;
        }
        assert_int_equal(scan.size_bytes, expected.size_bytes);
        assert_int_equal(scan.header_size_bytes, expected.header_size_bytes);
        assert_int_equal(scan.longest_line_bytes, expected.longest_line_bytes);
        assert_int_equal(scan.body_is_8bit, expected.body_is_8bit);
        assert_int_equal(scan.header_is_8bit, expected.header_is_8bit);
    }
    (void)state;
}

static void finds_8bit_at_every_place(void **state)
{
    enum { SIZE = 200 };
    uint8_t body[SIZE];
    for (size_t size = 1; size <= SIZE; size++) {
        for (size_t at = 0; at < size; at++) {
            struct mail_header_scan scan;
            memset(body, 0x7f, size);
            body[at] = 0x80;
            mail_header_scan_init(&scan);
            feed(&scan, SPAN("\r\n"));
            feed(&scan, span_of(body, size));
            assert_true(scan.body_is_8bit);
        }
    }
    (void)state;
}

static void walks_fields(void **state)
{
    static const struct {
        const char *name, *value, *whole;
    } fields[] = {
        {"From", "a", "From: a\r\n"},
        {"Subject", " b\r\n c\r\n\td", "Subject:  b\r\n c\r\n\td\r\n"},
        {"X", "", "X:\r\n"},
        {"Y", "z", "Y\t :z\r\n"},
        {"Z", "a\nb", "Z: a\nb\r\n"},
    };
    struct span header =
        SPAN("From: a\r\nSubject:  b\r\n c\r\n\td\r\nX:\r\nY\t :z\r\nZ: a\nb\r\n\r\nNo: x");
    struct mail_header_field field;
    size_t offset = 0;
    for (size_t i = 0; i < COUNT(fields); i++) {
        assert_true(mail_header_next(header, &offset, &field));
        assert_span(field.name, fields[i].name);
        assert_span(field.value, fields[i].value);
        assert_span(field.whole, fields[i].whole);
    }
    assert_false(mail_header_next(header, &offset, &field));
    assert_int_equal(offset, header.size - 7);
    offset = 0;
    assert_true(mail_header_next(SPAN("A: b"), &offset, &field));
    assert_span(field.value, "b");
    assert_span(field.whole, "A: b");
    assert_false(mail_header_next(SPAN("A: b"), &offset, &field));
    (void)state;
}

static void cuts_the_header_off(void **state)
{
    static const char *const messages[][2] = {
        {"", ""},
        {"\r\nbody", "\r\n"},
        {"a: b\r\n\r\nbody\r\n\r\n", "a: b\r\n\r\n"},
        {"a: b\r\n c\r\n", "a: b\r\n c\r\n"},
        {"a: b\r\nnot\r\n\r\n", "a: b\r\n"},
        {"text\r\n\r\n", ""},
        {" a: b\r\n\r\n", ""},
    };
    for (size_t i = 0; i < COUNT(messages); i++) {
        assert_span(mail_header_of(span_text(messages[i][0])), messages[i][1]);
    }
    for (size_t r = 0; r < COUNT(rows); r++) { /* as the scan has it */
        struct span text = span_text(rows[r].text);
        assert_row(rows[r].text, mail_header_of(text).size == rows[r].header_size);
    }
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scans_however_cut),         cmocka_unit_test(agrees_with_the_slow_way),
        cmocka_unit_test(finds_8bit_at_every_place), cmocka_unit_test(walks_fields),
        cmocka_unit_test(cuts_the_header_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
