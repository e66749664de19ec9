#include "protocol/mail/dsn.h"

#include <string.h>

#include "base/require.h"
#include "base/text.h"
#include "protocol/mail/date.h"
#include "protocol/mail/dsn_quote-internal.h"
#include "protocol/mail/dsn_status-internal.h"
#include "protocol/mail/header.h"
#include "protocol/mail/xtext.h"

enum {
    FOLD_COLUMN = 76,
    WORD_SIZE = 200,       /* a longer word of a stranger is broken */
    SAID_SIZE = 1000,      /* of a reply in Diagnostic-Code, escaped; half for a person */
    SAID_LEAST_SIZE = 120, /* however many recipients share SAID_TOTAL_SIZE */
    SAID_TOTAL_SIZE = 32768,
    NAME_SIZE = 300, /* of an address, a host or an id, escaped */
    SCRATCH_SIZE = 2 * SAID_SIZE,
    XTEXT_SIZE = 1024, /* RFC 3461: ENVID 100, ORCPT 500 octets; more is left out */
    DECODED_SIZE = 2 * XTEXT_SIZE,
    UTF8_SIZE = 900,    /* of an address in ASCII; with its name it fits a line */
    BOUNDARY_SIZE = 70, /* RFC 2046 5.1.1 */
};

/* Appends until the buffer is full; then `fits` is false and nothing more matters. */
struct writer {
    struct buffer *out;
    const struct mail_dsn *dsn;
    char boundary[BOUNDARY_SIZE + 1];
    size_t said_size; /* what a reply may take */
    bool utf8;        /* the part for a person holds more than ASCII */
    bool fits;
};

static void put(struct writer *w, struct span bytes)
{
    w->fits = w->fits && buffer_append(w->out, bytes);
}

static void put_text(struct writer *w, const char *text)
{
    put(w, span_text(text));
}

static bool escape(struct buffer *out, struct span bytes, size_t limit, bool utf8)
{
    return utf8 ? text_escape_utf8(out, bytes, limit) : text_escape(out, bytes, limit);
}

/* Something of a stranger, in one piece: an address, a host name, an id. */
static void put_name(struct writer *w, struct span name)
{
    w->fits = w->fits && escape(w->out, name, NAME_SIZE, w->utf8);
}

/*
 * An address that our parser took is printable, and may hold the quotes and backslashes that
 * escaping would spoil; anything else is escaped.
 */
static void put_address(struct writer *w, struct span address)
{
    bool is_clean = address.size <= MAIL_ADDRESS_SIZE &&
                    (w->utf8 ? text_is_utf8(address) : text_is_ascii(address));
    for (size_t i = 0; i < address.size && is_clean; i++) {
        is_clean = address.data[i] >= ' ' && address.data[i] != 0x7f;
    }
    if (is_clean) {
        put(w, address);
    } else {
        put_name(w, address);
    }
}

/* The size of the next piece of `text`: a word, or as much of a long one as may stand in a line. */
static size_t word_size(struct span text)
{
    size_t size = 0;
    if (!span_find(text, ' ', &size)) {
        size = text.size;
    }
    if (size <= WORD_SIZE) {
        return size;
    }
    size = WORD_SIZE;
    while (size > 0 && (text.data[size] & 0xc0) == 0x80) {
        size--; /* no UTF-8 character is cut */
    }
    return size > 0 ? size : WORD_SIZE;
}

/* Words of printable text from `column` on, lines broken with `indent`. */
static void put_folded(struct writer *w, struct span text, size_t column, const char *indent)
{
    bool is_first = true;
    while (text.size > 0) {
        size_t size = word_size(text);
        if (!is_first && column + 1 + size > FOLD_COLUMN) {
            put_text(w, "\r\n");
            put_text(w, indent);
            column = strlen(indent);
        } else if (!is_first) {
            put_text(w, " ");
            column++;
        }
        put(w, span_first(text, size));
        column += size;
        is_first = false;
        text = span_from(text, size);
        if (text.size > 0 && text.data[0] == ' ') {
            text = span_from(text, 1);
        }
    }
}

/* What a remote host or we ourselves said, as one line of escaped words, blanks at its ends gone.
 */
static void flatten(struct buffer *scratch, struct span said, size_t limit, bool utf8)
{
    while (said.size > 0 && buffer_size(scratch) < limit) {
        struct span line;
        (void)span_cut(said, '\n', &line, &said);
        if (line.size > 0 && line.data[line.size - 1] == '\r') {
            line.size--;
        }
        line = span_trim(line);
        if (line.size > 0 && buffer_size(scratch) > 0) {
            (void)buffer_text(scratch, " ");
        }
        (void)escape(scratch, line, limit - buffer_size(scratch), utf8);
    }
}

static void put_said(struct writer *w, struct span said, size_t limit, size_t column,
                     const char *indent)
{
    struct buffer scratch;
    buffer_init(&scratch, SCRATCH_SIZE);
    flatten(&scratch, said, limit, w->utf8);
    put_folded(w, buffer_span(&scratch), column, indent);
    buffer_done(&scratch);
}

static void put_date(struct writer *w, const char *name, int64_t unix_ms)
{
    char date[MAIL_DATE_SIZE];
    if (unix_ms <= 0) {
        return;
    }
    mail_date_write(unix_ms, date);
    put_text(w, name);
    put_text(w, date);
    put_text(w, "\r\n");
}

/* One that does not occur in what is quoted, whatever that is. */
static void choose_boundary(struct writer *w, struct span quoted)
{
    struct span id = span_first(w->dsn->notification_id, BOUNDARY_SIZE - 8);
    size_t size = 2 + id.size;
    memcpy(w->boundary, "=_", 2);
    memcpy(w->boundary + 2, id.data, id.size);
    for (char last = 'a'; last < 'g' && quoted.size > 0; last++) {
        if (memmem(quoted.data, quoted.size, w->boundary, size) == NULL) {
            break;
        }
        w->boundary[size++] = last;
    }
    w->boundary[size] = '\0';
}

static void put_part(struct writer *w, const char *type, bool is_8bit)
{
    put_text(w, "\r\n--");
    put_text(w, w->boundary);
    put_text(w, "\r\nContent-Type: ");
    put_text(w, type);
    put_text(w, is_8bit ? "\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" : "\r\n\r\n");
}

static void put_header(struct writer *w, bool is_8bit)
{
    static const char *const subjects[] = {
        [MAIL_DSN_FAILED] = "Message not delivered",
        [MAIL_DSN_DELAYED] = "Message delayed; delivery is still being tried",
        [MAIL_DSN_DELIVERED] = "Message delivered",
        [MAIL_DSN_RELAYED] = "Message passed on to another mail system",
        [MAIL_DSN_EXPANDED] = "Message delivered to a mailing list",
    };
    const struct mail_dsn *dsn = w->dsn;
    struct span original = mail_dsn_quote_message_id(mail_header_of(dsn->message));
    put_text(w, "From: Mail delivery <MAILER-DAEMON@");
    put_name(w, dsn->hostname);
    put_text(w, ">\r\nTo: <");
    put_address(w, dsn->sender);
    put_text(w, ">\r\nSubject: ");
    put_text(w, subjects[dsn->recipients[0].action]);
    put_text(w, "\r\n");
    put_date(w, "Date: ", dsn->now_unix_ms);
    put_text(w, "Message-ID: <");
    put_name(w, dsn->notification_id);
    put_text(w, "@");
    put_name(w, dsn->hostname);
    put_text(w, ">\r\n");
    if (original.size > 0) {
        put_text(w, "In-Reply-To: ");
        put(w, original);
        put_text(w, "\r\nReferences: ");
        put(w, original);
        put_text(w, "\r\n");
    }
    put_text(w, "Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n"
                "Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"");
    put_text(w, w->boundary);
    put_text(w, is_8bit ? "\"\r\nContent-Transfer-Encoding: 8bit\r\n" : "\"\r\n");
    put_text(w, "\r\nThis is a delivery report in MIME format.\r\n");
}

static void put_for_person(struct writer *w, const struct mail_dsn_quote *quote)
{
    static const char *const openings[] = {
        [MAIL_DSN_FAILED] = " could not deliver your message to the\r\n"
                            "recipients below, and has stopped trying.\r\n",
        [MAIL_DSN_DELAYED] =
            " has not been able to deliver your message to\r\n"
            "the recipients below so far. It keeps trying; you need not send the\r\n"
            "message again.\r\n",
        [MAIL_DSN_DELIVERED] = " has delivered your message to the recipients\r\nbelow.\r\n",
        [MAIL_DSN_RELAYED] =
            " has passed your message for the recipients below\r\n"
            "on to a mail system that does not report deliveries. You may hear no\r\n"
            "more of it.\r\n",
        [MAIL_DSN_EXPANDED] = " has delivered your message to a list with more\r\n"
                              "recipients. You may hear no more of it.\r\n",
    };
    const struct mail_dsn *dsn = w->dsn;
    put_part(w, w->utf8 ? "text/plain; charset=utf-8" : "text/plain; charset=us-ascii", w->utf8);
    put_text(w, "The mail server ");
    put_name(w, dsn->hostname);
    put_text(w, openings[dsn->recipients[0].action]);
    for (size_t i = 0; i < dsn->recipient_count; i++) {
        const struct mail_dsn_recipient *recipient = &dsn->recipients[i];
        put_text(w, "\r\n    <");
        put_address(w, recipient->address);
        put_text(w, ">\r\n");
        if (recipient->reason.size > 0) {
            put_text(w, "        ");
            put_said(w, recipient->reason, w->said_size / 2, 8, "        ");
            put_text(w, "\r\n");
        }
        if (recipient->reply.size > 0) {
            put_text(w, "        ");
            put_name(w, recipient->remote.size > 0 ? recipient->remote : SPAN("The next host"));
            put_text(w, " said:\r\n        ");
            put_said(w, recipient->reply, w->said_size / 2, 8, "        ");
            put_text(w, "\r\n");
        }
        put_date(w, "        It is tried until ", recipient->retry_until_unix_ms);
    }
    if (quote->bytes.size > 0) {
        put_text(w, quote->is_full ? "\r\nYour message is attached.\r\n"
                    : quote->is_cut
                        ? "\r\nThe beginning of the header of your message is attached.\r\n"
                        : "\r\nThe header of your message is attached.\r\n");
    }
}

/* ENVID and ORCPT come back as they were before xtext (RFC 3464 2.2.1, 2.3.1). */
static void put_decoded(struct writer *w, struct span text)
{
    struct arena *arena = arena_new(DECODED_SIZE);
    struct span bytes;
    if (mail_xtext_decode(text, arena, &bytes)) {
        put_name(w, bytes);
    }
    arena_free(arena);
}

/* A field with an address that is not ASCII. False if it is not UTF-8, or too long for a line. */
static bool put_utf8(struct writer *w, const char *name, struct span address, bool is_unitext)
{
    struct buffer scratch;
    buffer_init(&scratch, UTF8_SIZE);
    bool is_done = mail_xtext_encode_utf8(&scratch, address, is_unitext);
    if (is_done) {
        put_text(w, name);
        put_text(w, "utf-8; ");
        put(w, buffer_span(&scratch));
        put_text(w, "\r\n");
    }
    buffer_done(&scratch);
    return is_done;
}

static void put_original_recipient(struct writer *w, struct span orcpt)
{
    struct span type, address;
    if (orcpt.size > XTEXT_SIZE || !mail_xtext_orcpt_is_valid(orcpt, true)) {
        return;
    }
    (void)span_cut(orcpt, ';', &type, &address);
    if (span_equal_nocase(type, SPAN("utf-8"))) {
        (void)put_utf8(w, "Original-Recipient: ", address, true);
        return;
    }
    put_text(w, "Original-Recipient: ");
    put_name(w, type);
    put_text(w, "; ");
    put_decoded(w, address);
    put_text(w, "\r\n");
}

static void put_final_recipient(struct writer *w, struct span address)
{
    if (text_is_ascii(address) || !put_utf8(w, "Final-Recipient: ", address, false)) {
        put_text(w, "Final-Recipient: rfc822; ");
        put_address(w, address);
        put_text(w, "\r\n");
    }
}

static void put_status_of(struct writer *w, const struct mail_dsn_recipient *recipient)
{
    static const char *const words[] = {
        [MAIL_DSN_FAILED] = "failed",       [MAIL_DSN_DELAYED] = "delayed",
        [MAIL_DSN_DELIVERED] = "delivered", [MAIL_DSN_RELAYED] = "relayed",
        [MAIL_DSN_EXPANDED] = "expanded",
    };
    char storage[16];
    put_text(w, "\r\n");
    put_original_recipient(w, recipient->orcpt);
    put_final_recipient(w, recipient->address);
    put_text(w, "Action: ");
    put_text(w, words[recipient->action]);
    put_text(w, "\r\nStatus: ");
    put(w, mail_dsn_status_of(recipient, storage));
    put_text(w, "\r\n");
    if (recipient->remote.size > 0) {
        put_text(w, "Remote-MTA: dns; ");
        put_name(w, recipient->remote);
        put_text(w, "\r\n");
    }
    bool is_said = recipient->reply.size > 0;
    if (is_said || recipient->reason.size > 0) {
        put_text(w, is_said ? "Diagnostic-Code: smtp; " : "Diagnostic-Code: x-openrelay; ");
        put_said(w, is_said ? recipient->reply : recipient->reason, w->said_size, is_said ? 23 : 30,
                 "    ");
        put_text(w, "\r\n");
    }
    put_date(w, "Last-Attempt-Date: ", recipient->last_attempt_unix_ms);
    if (recipient->action == MAIL_DSN_DELAYED) {
        put_date(w, "Will-Retry-Until: ", recipient->retry_until_unix_ms);
    }
}

/*
 * Always ASCII: RFC 6533 section 3 has a form for every address, and programs that read bounces
 * know message/delivery-status, but hardly one message/global-delivery-status.
 */
static void put_for_machine(struct writer *w)
{
    const struct mail_dsn *dsn = w->dsn;
    w->utf8 = false;
    put_part(w, "message/delivery-status", false);
    put_text(w, "Reporting-MTA: dns; ");
    put_name(w, dsn->hostname);
    put_text(w, "\r\n");
    if (dsn->envid.size > 0 && dsn->envid.size <= XTEXT_SIZE && mail_xtext_is_valid(dsn->envid)) {
        put_text(w, "Original-Envelope-Id: ");
        put_decoded(w, dsn->envid);
        put_text(w, "\r\n");
    }
    put_text(w, "X-Openrelay-Queue-Id: ");
    put_name(w, dsn->queue_id);
    put_text(w, "\r\n");
    put_date(w, "Arrival-Date: ", dsn->arrival_unix_ms);
    for (size_t i = 0; i < dsn->recipient_count; i++) {
        put_status_of(w, &dsn->recipients[i]);
    }
}

static void put_quote(struct writer *w, const struct mail_dsn_quote *quote)
{
    if (quote->bytes.size > 0 && quote->is_full) {
        put_part(w, quote->header_is_8bit ? "message/global" : "message/rfc822", quote->is_8bit);
    } else if (quote->bytes.size > 0) {
        put_part(w, quote->header_is_8bit ? "message/global-headers" : "text/rfc822-headers",
                 quote->is_8bit);
    }
    put(w, quote->bytes);
    put_text(w, "\r\n--");
    put_text(w, w->boundary);
    put_text(w, "--\r\n");
}

static bool needs_utf8(const struct mail_dsn *dsn)
{
    bool is_ascii = text_is_ascii(dsn->sender);
    for (size_t i = 0; i < dsn->recipient_count && is_ascii; i++) {
        is_ascii =
            text_is_ascii(dsn->recipients[i].address) && text_is_ascii(dsn->recipients[i].orcpt);
    }
    return dsn->smtputf8 && !is_ascii;
}

/* So that a message to a thousand recipients does not come back a thousand times as long. */
static size_t share_size(size_t recipient_count)
{
    size_t size = SAID_TOTAL_SIZE / recipient_count;
    return size > SAID_SIZE ? SAID_SIZE : size < SAID_LEAST_SIZE ? SAID_LEAST_SIZE : size;
}

bool mail_dsn_write(struct buffer *out, const struct mail_dsn *dsn, bool *ret_is_8bit)
{
    require(dsn->recipient_count > 0 && dsn->sender.size > 0 && dsn->notification_id.size > 0);
    struct writer w = {.out = out, .dsn = dsn, .fits = true};
    struct mail_dsn_quote quote = mail_dsn_quote_choose(dsn);
    w.utf8 = needs_utf8(dsn);
    w.said_size = share_size(dsn->recipient_count);
    bool is_8bit = w.utf8 || quote.is_8bit;
    size_t before = buffer_size(out);
    choose_boundary(&w, quote.bytes);
    put_header(&w, is_8bit);
    put_for_person(&w, &quote);
    put_for_machine(&w);
    put_quote(&w, &quote);
    if (!w.fits) {
        out->end = out->start + before; /* all or nothing */
        return false;
    }
    *ret_is_8bit = is_8bit;
    return true;
}
