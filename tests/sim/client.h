/*
 * client: somebody who sends mail through the program, letter after letter over one connection.
 *
 * What it was told is kept with each letter: from the moment it has read 250 after the content, the
 * letter is the program's.
 */
#ifndef SIM_CLIENT_H
#define SIM_CLIENT_H

#include "base/buffer.h"
#include "base/list.h"
#include "sim/network.h"

enum sim_outcome {
    SIM_NOT_SENT,
    SIM_ACCEPTED, /* 250 was read */
    SIM_REFUSED,  /* a reply of 4xx or 5xx ended it */
    SIM_UNKNOWN,  /* the connection broke after the end of the content was written */
    SIM_BROKEN,   /* ... before: nothing may be delivered */
};

struct sim_letter {
    struct list node;
    const char *sender;     /* without <>; all texts are the caller's and must stay */
    const char *parameters; /* of MAIL; NULL: none */
    const char *const *recipients;
    const char *recipient_parameters; /* of each RCPT; NULL: none */
    size_t recipient_count;
    struct span content; /* as it is meant, not dot-stuffed, ends with CRLF */
    enum sim_outcome outcome;
    int code;       /* of the last reply */
    bool *accepted; /* recipients; array of the caller's */
};

struct sim_client_settings {
    struct ip_endpoint source;
    struct ip_endpoint target;
    const char *path;
    bool pipelines;     /* if it is offered */
    bool chunks;        /* BDAT, if it is offered */
    bool lazy;          /* writes its content in pieces, with pauses */
    bool vanishes;      /* closes without QUIT */
    bool changes_mind;  /* begins another transaction first, and gives it up */
    const char *prefix; /* written first; a PROXY header */
    /* Called when the 250 that makes a letter the program's has been read; may be NULL. */
    void (*accepted)(void *context, const struct sim_letter *letter);
    void *context;
};

struct sim_client;

/* Nothing happens before sim_client_start. */
struct sim_client *sim_client_new(struct sim *sim, struct sim_network *network,
                                  const struct sim_client_settings *settings);
void sim_client_add(struct sim_client *client, struct sim_letter *letter);
void sim_client_start(struct sim_client *client);
bool sim_client_is_done(const struct sim_client *client);
const char *sim_client_last_reply(const struct sim_client *client); /* its last line */
void sim_client_free(struct sim_client *client);

#endif
