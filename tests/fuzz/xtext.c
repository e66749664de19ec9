/*
 * xtext and what DSN parameters carry: what is encoded is valid and is read back, what is valid and
 * read is encoded to the same octets again, and UTF-8 that has its form keeps it.
 */
#include "protocol/mail/xtext.h"
#include "base/text.h"
#include "fuzz/fuzz.h"

enum { OUT_BYTES = 1 << 20 };

static void check_encode(struct span bytes, struct arena *arena)
{
    struct buffer out;
    struct span back;

    buffer_init(&out, OUT_BYTES);
    require(mail_xtext_encode(&out, bytes));
    require(mail_xtext_is_valid(buffer_span(&out)));
    require(mail_xtext_decode(buffer_span(&out), arena, &back) && span_equal(back, bytes));
    buffer_done(&out);
}

static void check_decode(struct span text, struct arena *arena)
{
    struct span bytes, again;
    struct buffer out;

    require(mail_xtext_decode(text, arena, &bytes) == mail_xtext_is_valid(text));
    if (!mail_xtext_is_valid(text)) {
        return;
    }
    require(bytes.size <= text.size && text_is_ascii(text));
    buffer_init(&out, OUT_BYTES);
    require(mail_xtext_encode(&out, bytes) && buffer_size(&out) <= text.size);
    require(mail_xtext_decode(buffer_span(&out), arena, &again) && span_equal(again, bytes));
    buffer_done(&out);
}

static void check_utf8(struct span text)
{
    struct buffer once, twice;

    buffer_init(&once, OUT_BYTES);
    buffer_init(&twice, OUT_BYTES);
    require(mail_xtext_encode_utf8(&once, text, false) == text_is_utf8(text));
    require(text_is_ascii(buffer_span(&once)));
    require(mail_xtext_encode_utf8(&twice, buffer_span(&once), true)); /* nothing left to do */
    require(span_equal(buffer_span(&once), buffer_span(&twice)));
    buffer_done(&once);
    buffer_done(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *arena = arena_new(OUT_BYTES);
    struct span text = span_of(data, size);

    check_encode(text, arena);
    check_decode(text, arena);
    check_utf8(text);
    if (mail_xtext_orcpt_is_valid(text, false)) {
        require(mail_xtext_orcpt_is_valid(text, true) && text_is_ascii(text));
    }
    if (mail_xtext_orcpt_is_valid(text, true)) {
        size_t at;
        require(span_find(text, ';', &at) && at > 0 && text_is_utf8(text));
        for (size_t i = 0; i < size; i++) {
            require(data[i] > ' ' && data[i] != 0x7f);
        }
    }
    arena_free(arena);
    return 0;
}
