/*
 * Any octets as content: what comes out is ASCII, the same however the content was cut, and 7-bit
 * content that needs no label comes out as it was.
 */
#include "protocol/mail/downgrade.h"
#include "base/require.h"
#include "base/text.h"

enum { OUT_BYTES = 1 << 24 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool convert(struct span content, size_t piece, struct buffer *out)
{
    struct mail_downgrade *state = mail_downgrade_new();
    enum mail_downgrade_result result = MAIL_DOWNGRADE_OK;
    buffer_init(out, OUT_BYTES);
    for (size_t at = 0; at < content.size && result == MAIL_DOWNGRADE_OK; at += piece) {
        result = mail_downgrade_feed(state, span_first(span_from(content, at), piece), out);
    }
    if (result == MAIL_DOWNGRADE_OK) {
        result = mail_downgrade_finish(state, out);
    }
    mail_downgrade_free(state);
    return result == MAIL_DOWNGRADE_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    struct span content = span_of(data + 1, size - 1);
    struct buffer whole, pieces, again;
    bool is_possible = convert(content, content.size + 1, &whole);
    require(convert(content, data[0] + (size_t)1, &pieces) == is_possible);
    if (is_possible) {
        require(text_is_ascii(buffer_span(&whole)));
        require(span_equal(buffer_span(&whole), buffer_span(&pieces)));
        require(convert(buffer_span(&whole), SIZE_MAX / 2, &again)); /* and that is the end of it */
        require(text_is_ascii(buffer_span(&again)));
        buffer_done(&again);
    }
    buffer_done(&whole);
    buffer_done(&pieces);
    return 0;
}
