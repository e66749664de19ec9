/*
 * sink: a next hop that keeps what it gets, and misbehaves as it is told.
 *
 * Its SMTP (or LMTP) is its own, so that a misunderstanding in the program cannot hide in it. It is
 * strict: a bare CR or LF, a command sent too early, 8-bit content that was not announced and
 * whatever else a next hop must never see is a violation, and kept as a text.
 */
#ifndef SIM_SINK_H
#define SIM_SINK_H

#include "base/buffer.h"
#include "base/list.h"
#include "sim/network.h"

enum {
    SIM_ADDRESS_SIZE = 400,
    SIM_REPLY_SIZE = 1024,
};

enum sim_extension {
    SIM_PIPELINING = 1,
    SIM_8BITMIME = 2,
    SIM_SIZE = 4,
    SIM_SMTPUTF8 = 8,
    SIM_DSN = 16,
    SIM_ENHANCED = 32,
    SIM_CHUNKING = 64,
    SIM_ALL_EXTENSIONS = 127,
    SIM_STARTTLS = 128, /* offered; who asks for it is told off */
};

enum sim_stage {
    SIM_AT_GREETING,
    SIM_AT_EHLO,
    SIM_AT_MAIL,
    SIM_AT_RCPT,
    SIM_AT_DATA,
    SIM_AT_CONTENT, /* in the middle of it: only drop, reset and silence mean something */
    SIM_AT_FINAL,
    SIM_AT_RSET,
    SIM_AT_QUIT,
    SIM_AT_CHUNK, /* BDAT that is not the last */
    SIM_STAGES,
};

enum sim_deed {
    SIM_REPLIES,
    SIM_DROPS,           /* closes */
    SIM_RESETS,          /* RST */
    SIM_IS_MUTE,         /* never says anything again */
    SIM_KEEPS_AND_DROPS, /* SIM_AT_FINAL: the message is kept, the reply never sent */
    SIM_ADDS,            /* the usual reply, and then this one that nobody asked for */
    SIM_ENDS,            /* replies, then closes */
    SIM_BREAKS,          /* replies, then RST */
    SIM_HALF_CLOSES,     /* replies, will say no more, and listens on */
    SIM_SPLITS,          /* half of the reply, then closes */
    SIM_DRIBBLES,        /* the reply, an octet a second */
    SIM_GOES_ON,         /* a reply without end */
    SIM_FLOODS,          /* a line without end */
};

enum sim_ending { SIM_CRLF, SIM_LF, SIM_CR, SIM_NUL_CRLF, SIM_NO_END }; /* of a reply's lines */

struct sim_rule {
    enum sim_stage stage;
    char match[64]; /* part of the recipient (at MAIL: of the sender); empty: any */
    enum sim_deed deed;
    char reply[SIM_REPLY_SIZE]; /* lines separated by \n; empty: the usual one, after the delay */
    int64_t delay_us;
    int times;        /* so often; negative: always */
    int64_t until_us; /* 0: for ever */
    enum sim_ending ending;
    const char *name; /* counted by sim_reached; NULL: not */
};

struct sim_mail { /* one message that a sink has kept */
    struct list node;
    const struct sim_sink *sink;
    int64_t at_us;
    char sender[SIM_ADDRESS_SIZE];     /* without <> */
    char parameters[SIM_ADDRESS_SIZE]; /* of MAIL */
    char (*recipients)[SIM_ADDRESS_SIZE];
    char (*recipient_parameters)[SIM_ADDRESS_SIZE];
    bool *kept; /* LMTP: this recipient's reply was 250 */
    size_t recipient_count;
    bool chunked;
    struct buffer content;
};

struct sim_mailbox { /* of all sinks of a world */
    struct list mails;
    size_t count;
    char violation[SIM_REPLY_SIZE]; /* the first; empty: none */
    size_t violations;
};

struct sim_sink_settings {
    const char *name;
    struct ip_endpoint endpoint; /* family IP_NONE: path */
    const char *path;
    bool lmtp;
    unsigned extensions;
    uint64_t size_limit; /* told with SIZE; 0: 50 MB */
};

struct sim_sink;

void sim_mailbox_init(struct sim_mailbox *mailbox);
void sim_mailbox_done(struct sim_mailbox *mailbox);

/* Listens at once. The mailbox must outlive it. */
struct sim_sink *sim_sink_new(struct sim *sim, struct sim_network *network,
                              const struct sim_sink_settings *settings,
                              struct sim_mailbox *mailbox);
void sim_sink_free(struct sim_sink *sink);
const char *sim_sink_name(const struct sim_sink *sink);
/* The first rule that matches and is not used up decides. */
void sim_sink_add_rule(struct sim_sink *sink, const struct sim_rule *rule);
void sim_sink_forget_rules(struct sim_sink *sink); /* well-behaved from now on */
/* Rules by the words in a recipient's local part: bounce full temp multi nocode drop eod4 eod5 ...
 */
void sim_sink_add_words(struct sim_sink *sink);
void sim_sink_expect_words(struct sim *sim);

uint64_t sim_sink_connections(const struct sim_sink *sink); /* since start */

/* True if `address` is among the recipients that were kept. */
bool sim_mail_is_to(const struct sim_mail *mail, const char *address);

#endif
