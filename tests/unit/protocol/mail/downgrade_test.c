/* downgrade: what becomes of each kind of part, however the content is cut, and what is impossible.
 */
#include "unit.h"

#include <stdlib.h>

#include "base/text.h"
#include "protocol/mail/downgrade.h"

enum { OUT_BYTES = 1 << 22 };

#define U       "\xc3\xbc"
#define V       "MIME-Version: 1.0\r\n"
#define QP      "Content-Transfer-Encoding: quoted-printable\r\n"
#define CTE8    "Content-Transfer-Encoding: 8bit\r\n"
#define CTE7    "Content-Transfer-Encoding: 7bit\r\n"
#define MULTI   "Content-Type: multipart/mixed; boundary=b\r\n"
#define UNKNOWN "Content-Type: text/plain; charset=unknown-8bit\r\n"
#define TEN     "0123456789"
#define SEVENTY TEN TEN TEN TEN TEN TEN TEN

struct row {
    const char *name, *in, *out; /* out NULL: impossible */
};

static const struct row rows[] = {
    {"empty", "", ""},
    {"7-bit", V "Subject: a=b\r\n\r\nx=y \r\n", V "Subject: a=b\r\n\r\nx=y \r\n"},
    {"label 8bit", V CTE8 "X: y\r\n\r\na" U "=\r\n", V QP "X: y\r\n\r\na=C3=BC=3D\r\n"},
    {"label in odd case", V "content-TRANSFER-encoding:\r\n BINARY (x)\r\n\r\na\r\n",
     V QP "\r\na\r\n"},
    {"no label", V "\r\na\r\n" U "\r\n", V QP "\r\na\r\n=C3=BC\r\n"},
    {"wrong label", V CTE7 "\r\n" U "\r\n", V QP "\r\n=C3=BC\r\n"},
    {"no MIME", "Subject: x\r\n\r\n" U "\r\n", "Subject: x\r\n" V UNKNOWN QP "\r\n=C3=BC\r\n"},
    {"no MIME-Version", "Content-Type: text/html\r\n\r\n" U "\r\n",
     "Content-Type: text/html\r\n" V QP "\r\n=C3=BC\r\n"},
    {"folded header", V "Subject: a\r\n b\r\n" CTE8 "\r\n" U "\r\n",
     V "Subject: a\r\n b\r\n" QP "\r\n=C3=BC\r\n"},
    {"blank at line end", V CTE8 "\r\na \r\nb\t\r\n" U " c\r\n \r\n",
     V QP "\r\na=20\r\nb=09\r\n=C3=BC c\r\n=20\r\n"},
    {"no line end", V CTE8 "\r\n" U " ", V QP "\r\n=C3=BC=20"},
    {"long line", V CTE8 "\r\n" SEVENTY "12345" U "\r\n",
     V QP "\r\n" SEVENTY "12345=\r\n=C3=BC\r\n"},
    {"exactly 76", V CTE8 "\r\n" SEVENTY "123456\r\n" SEVENTY "1234567\r\n",
     V QP "\r\n" SEVENTY "123456\r\n" SEVENTY "12345=\r\n67\r\n"},
    {"boundary behind a soft break", V CTE8 "\r\n" SEVENTY "12345--b\r\n--b\r\n",
     V QP "\r\n" SEVENTY "12345=\r\n=2D-b\r\n--b\r\n"},
    {"multipart",
     V MULTI CTE8 "\r\npre\r\n--b\r\n" CTE8 "\r\n" U "\r\n--b\r\n\r\nplain=\r\n--b--\r\npost\r\n",
     V MULTI CTE7 "\r\npre\r\n--b\r\n" QP "\r\n=C3=BC\r\n--b\r\n\r\nplain=\r\n--b--\r\npost\r\n"},
    {"multipart without label", V MULTI "\r\n--b\r\n\r\n" U "\r\n--b--\r\n",
     V MULTI "\r\n--b\r\n" QP "\r\n=C3=BC\r\n--b--\r\n"},
    {"base64 part",
     V MULTI "\r\n--b\r\nContent-Transfer-Encoding: base64\r\n\r\nAA==\r\n--b\r\n" CTE8 "\r\n" U
             "\r\n--b--",
     V MULTI "\r\n--b\r\nContent-Transfer-Encoding: base64\r\n\r\nAA==\r\n--b\r\n" QP
             "\r\n=C3=BC\r\n--b--"},
    {"quoted boundary",
     V "Content-Type: Multipart/X; a=\"b;\\\"c\";\r\n boundary=\"x y\"; d=e\r\n\r\n--x y \r\n\r\n" U
       "\r\n--x y--\r\n",
     V "Content-Type: Multipart/X; a=\"b;\\\"c\";\r\n boundary=\"x y\"; d=e\r\n\r\n--x y \r\n" QP
       "\r\n=C3=BC\r\n--x y--\r\n"},
    {"part without a body", V MULTI "\r\n--b\r\nX: y\r\n--b\r\n\r\n" U "\r\n--b--\r\n",
     V MULTI "\r\n--b\r\nX: y\r\n--b\r\n" QP "\r\n=C3=BC\r\n--b--\r\n"},
    {"nested",
     V MULTI "\r\n--b\r\nContent-Type: multipart/alternative; boundary=bb\r\n\r\n--bb\r\n\r\n" U
             "\r\n--bb--\r\n\r\n--b\r\n\r\nz\r\n--b--\r\n",
     V MULTI "\r\n--b\r\nContent-Type: multipart/alternative; boundary=bb\r\n\r\n--bb\r\n" QP
             "\r\n=C3=BC\r\n--bb--\r\n\r\n--b\r\n\r\nz\r\n--b--\r\n"},
    {"outer boundary ends the inner",
     V MULTI "\r\n--b\r\nContent-Type: multipart/alternative; "
             "boundary=c\r\n\r\n--c\r\n\r\nx\r\n--b\r\n\r\n--c\r\n" U "\r\n--b--\r\n",
     V MULTI
     "\r\n--b\r\nContent-Type: multipart/alternative; boundary=c\r\n\r\n--c\r\n\r\nx\r\n--b\r\n" QP
     "\r\n--c\r\n=C3=BC\r\n--b--\r\n"},
    {"message",
     V MULTI "\r\n--b\r\nContent-Type: message/rfc822\r\n" CTE8 "\r\n" V CTE8 "\r\n" U
             "\r\n--b--\r\n",
     V MULTI "\r\n--b\r\nContent-Type: message/rfc822\r\n" CTE7 "\r\n" V QP
             "\r\n=C3=BC\r\n--b--\r\n"},
    {"digest",
     V "Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\nSubject: x\r\n\r\n" U
       "\r\n--b--\r\n",
     V "Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\nSubject: x\r\n" V UNKNOWN QP
       "\r\n=C3=BC\r\n--b--\r\n"},
    {"global message", V "Content-Type: message/global\r\n" CTE8 "\r\nSubject: " U "\r\n",
     V "Content-Type: message/global\r\n" QP "\r\nSubject: =C3=BC\r\n"},
    {"signed, 7-bit",
     V "Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n" CTE8 "\r\nx\r\n--b--\r\n",
     V "Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n" CTE8 "\r\nx\r\n--b--\r\n"},
    {"no empty line, 7-bit", "From x\r\n" V CTE8 "\r\nx\r\n", "From x\r\n" V CTE8 "\r\nx\r\n"},
    {"bare LF", V CTE8 "\r\n" U "\n\r\n", V QP "\r\n=C3=BC=0A\r\n"},
    {"8-bit header", V "Subject: " U "\r\n\r\nx\r\n", NULL},
    {"8-bit part header", V MULTI "\r\n--b\r\nX: " U "\r\n\r\nx\r\n--b--\r\n", NULL},
    {"signed",
     V "Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n" CTE8 "\r\n" U "\r\n--b--\r\n",
     NULL},
    {"encrypted", V "Content-Type: multipart/ENCRYPTED; boundary=b\r\n\r\n" U "\r\n", NULL},
    {"preamble", V MULTI "\r\n" U "\r\n--b--\r\n", NULL},
    {"epilogue", V MULTI "\r\n--b\r\n\r\n\r\n--b--\r\n" U "\r\n", NULL},
    {"8-bit in base64", V "Content-Transfer-Encoding: base64\r\n\r\n" U "\r\n", NULL},
    {"unknown label", V "Content-Transfer-Encoding: 8-bit\r\n\r\n" U "\r\n", NULL},
    {"no boundary", V "Content-Type: multipart/mixed\r\n\r\n" U "\r\n", NULL},
    {"report", V "Content-Type: message/delivery-status\r\n\r\n" U "\r\n", NULL},
    {"no empty line", "From x\r\n" V CTE8 "\r\n" U "\r\n", NULL},
};

/* Pieces of `piece` octets, the first of `first`. */
static bool convert(struct span content, size_t first, size_t piece, struct buffer *out)
{
    struct mail_downgrade *state = mail_downgrade_new();
    enum mail_downgrade_result result = MAIL_DOWNGRADE_OK;
    size_t size = first;
    while (content.size > 0 && result == MAIL_DOWNGRADE_OK) {
        struct span part = span_first(content, size);
        uint8_t *copy = malloc(part.size > 0 ? part.size : 1);
        assert_non_null(copy);
        if (part.size > 0) {
            memcpy(copy, part.data, part.size);
        }
        result = mail_downgrade_feed(state, span_of(copy, part.size), out);
        free(copy);
        content = span_from(content, part.size);
        size = piece;
    }
    if (result == MAIL_DOWNGRADE_OK) {
        result = mail_downgrade_finish(state, out);
    }
    mail_downgrade_free(state);
    return result == MAIL_DOWNGRADE_OK;
}

static void converts_however_cut(void **state)
{
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct span content = span_text(rows[i].in);
        for (size_t cut = 0; cut <= content.size + 1; cut++) {
            struct buffer out;
            buffer_init(&out, OUT_BYTES);
            /* the last round goes octet by octet */
            bool done = cut > content.size ? convert(content, 1, 1, &out)
                                           : convert(content, cut, SIZE_MAX, &out);
            assert_row(rows[i].name, done == (rows[i].out != NULL));
            if (done) {
                assert_row(rows[i].name, text_is_ascii(buffer_span(&out)));
                assert_span(buffer_span(&out), rows[i].out);
            }
            buffer_done(&out);
        }
    }
    (void)state;
}

static void append_times(struct buffer *buffer, const char *text, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        assert_true(buffer_text(buffer, text));
    }
}

static bool convert_all(struct buffer *in, struct buffer *out)
{
    buffer_init(out, OUT_BYTES);
    return convert(buffer_span(in), SIZE_MAX, SIZE_MAX, out);
}

static void knows_its_limits(void **state)
{
    static const struct {
        const char *text;
        size_t count;
        bool is_possible;
    } nests[] = {{"\r\n--b\r\nContent-Type: multipart/mixed; boundary=b\r\n", 15, true},
                 {"\r\n--b\r\nContent-Type: multipart/mixed; boundary=b\r\n", 16, false},
                 {"\r\nContent-Type: message/rfc822\r\n", 15, true},
                 {"\r\nContent-Type: message/rfc822\r\n", 16, false}};
    struct buffer in, out;
    for (size_t i = 0; i < COUNT(nests); i++) {
        buffer_init(&in, OUT_BYTES);
        append_times(&in, nests[i].text[2] == '-' ? V MULTI : V "Content-Type: message/rfc822\r\n",
                     1);
        append_times(&in, nests[i].text, nests[i].count);
        append_times(&in, "\r\nx\r\n", 1);
        assert_int_equal(convert_all(&in, &out), nests[i].is_possible);
        buffer_done(&in);
        buffer_done(&out);
    }
    for (size_t lines = 4095; lines <= 4096; lines++) { /* 12 octets each, 48 KiB */
        buffer_init(&in, OUT_BYTES);
        append_times(&in, "X: 3456789\r\n", lines);
        append_times(&in, "\r\n\r\nx\r\n", 1);
        assert_int_equal(convert_all(&in, &out), lines == 4095);
        buffer_done(&in);
        buffer_done(&out);
    }
    (void)state;
}

/* A body of which much is 7-bit before the first 8-bit octet, and a line longer than any buffer. */
static void takes_large_things(void **state)
{
    struct buffer in, out;
    buffer_init(&in, OUT_BYTES);
    append_times(&in, V "\r\n", 1);
    append_times(&in, "abc\r\n", 20000);
    append_times(&in, U "\r\n", 1);
    append_times(&in, "0123456789 ", 10000);
    append_times(&in, "\r\n", 1);
    struct buffer first;
    buffer_init(&first, OUT_BYTES);
    assert_true(convert(buffer_span(&in), SIZE_MAX, SIZE_MAX, &first));
    assert_true(span_starts(buffer_span(&first), SPAN(V QP "\r\nabc\r\n")));
    assert_true(text_is_ascii(buffer_span(&first)));
    assert_true(span_ends_nocase(buffer_span(&first), SPAN("=20\r\n")));
    for (size_t piece = 1; piece < 6000; piece = piece * 3 + 1) {
        buffer_init(&out, OUT_BYTES);
        assert_true(convert(buffer_span(&in), piece, piece, &out));
        assert_true(span_equal(buffer_span(&out), buffer_span(&first)));
        buffer_done(&out);
    }
    buffer_done(&first);
    buffer_init(&first, 1000); /* no room for it: impossible, and no more than that */
    assert_false(convert(buffer_span(&in), SIZE_MAX, SIZE_MAX, &first));
    buffer_done(&first);
    buffer_done(&in);
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(converts_however_cut),
        cmocka_unit_test(knows_its_limits),
        cmocka_unit_test(takes_large_things),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
