#include "protocol/mail/received.h"

#include "base/text.h"
#include "protocol/mail/address.h"
#include "protocol/mail/date.h"

enum {
    FOLD_COLUMN = 77,
    TAB_COLUMNS = 8,
};

/* Words of one field: knows the column, and folds before a word that would pass FOLD_COLUMN. */
struct folder {
    struct buffer *out;
    size_t column;
    bool fits; /* until the buffer was full */
};

static void put(struct folder *folder, struct span bytes)
{
    folder->fits = folder->fits && buffer_append(folder->out, bytes);
    folder->column += bytes.size;
}

static void fold(struct folder *folder)
{
    put(folder, SPAN("\r\n\t"));
    folder->column = TAB_COLUMNS;
}

/* A blank, or a fold if `size` more octets would be too many for the line. */
static void space(struct folder *folder, size_t size)
{
    if (folder->column + 1 + size > FOLD_COLUMN) {
        fold(folder);
    } else {
        put(folder, SPAN(" "));
    }
}

static void put_word(struct folder *folder, struct span word)
{
    space(folder, word.size);
    put(folder, word);
}

/* `name [address]` in brackets: the TCP-info of RFC 5321 4.4, which is all that we saw ourselves.
 */
static void put_client(struct folder *folder, const struct mail_received *received)
{
    char address[IP_TEXT_SIZE];
    if (received->client.family == IP_NONE) {
        return;
    }
    ip_write(received->client, address);
    bool is_v6 = ip_from_mapped(received->client).family == IP_V6;
    struct span name = received->reverse_name;
    if (name.size > 0 && (!mail_address_is_helo(name) || name.data[0] == '[')) {
        name.size = 0;
    }
    struct span prefix = is_v6 ? SPAN("[IPv6:") : SPAN("[");
    struct span number = span_text(address);
    space(folder, name.size + prefix.size + number.size + 4);
    put(folder, SPAN("("));
    if (name.size > 0) {
        put(folder, name);
        space(folder, prefix.size + number.size + 2);
    }
    put(folder, prefix);
    put(folder, number);
    put(folder, SPAN("])"));
}

/* A parsed address holds no control octet and no > outside quotes; what else comes here is left
 * out. */
static bool may_name_recipient(const struct mail_received *received)
{
    struct span recipient = received->recipient;
    if (recipient.size == 0 || recipient.size > MAIL_ADDRESS_SIZE) {
        return false;
    }
    for (size_t i = 0; i < recipient.size; i++) {
        uint8_t byte = recipient.data[i];
        if (byte < ' ' || byte == 0x7f || (byte >= 0x80 && !received->smtputf8)) {
            return false;
        }
    }
    return true;
}

bool mail_received_write(struct buffer *out, const struct mail_received *received)
{
    char date[MAIL_DATE_SIZE];
    size_t before = buffer_size(out);
    struct folder folder = {.out = out, .fits = true};
    struct span helo = received->helo;
    put(&folder, SPAN("Received: from"));
    put_word(&folder, mail_address_is_helo(helo) ? helo : SPAN("unknown"));
    put_client(&folder, received);
    fold(&folder);
    put(&folder, SPAN("by"));
    put_word(&folder, received->hostname);
    put_word(&folder, SPAN("with"));
    put_word(&folder, span_text(mail_received_protocol(received)));
    space(&folder, received->queue_id.size + 3);
    put(&folder, SPAN("id "));
    put(&folder, received->queue_id);
    if (may_name_recipient(received)) {
        fold(&folder);
        put(&folder, SPAN("for <"));
        put(&folder, received->recipient);
        put(&folder, SPAN(">"));
    }
    put(&folder, SPAN(";"));
    mail_date_write(received->unix_ms, date);
    put_word(&folder, span_text(date));
    put(&folder, SPAN("\r\n"));
    if (!folder.fits) {
        out->end = out->start + before; /* all or nothing */
    }
    return folder.fits;
}

const char *mail_received_protocol(const struct mail_received *received)
{
    enum { PLAIN, UTF8, LMTP, UTF8_LMTP };
    static const char words[][4][12] = {
        [PLAIN] = {"ESMTP", "ESMTPS", "ESMTPA", "ESMTPSA"},
        [UTF8] = {"UTF8SMTP", "UTF8SMTPS", "UTF8SMTPA", "UTF8SMTPSA"},
        [LMTP] = {"LMTP", "LMTPS", "LMTPA", "LMTPSA"},
        [UTF8_LMTP] = {"UTF8LMTP", "UTF8LMTPS", "UTF8LMTPA", "UTF8LMTPSA"},
    };
    if (!received->lmtp && !received->extended) {
        return "SMTP"; /* RFC 3848 has no word for HELO under TLS */
    }
    int row = (received->lmtp ? LMTP : PLAIN) + (received->smtputf8 ? UTF8 : PLAIN);
    return words[row][(received->tls ? 1 : 0) + (received->authenticated ? 2 : 0)];
}
