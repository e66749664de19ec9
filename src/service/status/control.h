/*
 * The control socket: how the operator's commands reach the running relay.
 *
 * A unix socket that only its owner (and root) can open. One request a connection: a line of JSON,
 * {"command": NAME, ...}. The answer is lines of JSON, the last one {"done": true} or {"error":
 * TEXT}. What commands there are is told by the program; this file knows only how to carry them.
 */
#ifndef STATUS_CONTROL_H
#define STATUS_CONTROL_H

#include <jansson.h>

#include "base/buffer.h"
#include "system/listener.h"

struct status_control;
struct status_request;

struct status_command {
    const char *name;
    /* Answers now or later; must end with status_done or status_fail. */
    void (*run)(void *context, struct status_request *request);
};

/* Takes the listening descriptor. `commands` ends with name NULL and must outlive the control. */
struct status_control *status_control_open(struct loop *loop, int descriptor,
                                           const struct status_command *commands, void *context);
void status_control_close(struct status_control *control); /* drops what is open; NULL is fine */

/* Arguments of the request; empty, 0 or false if absent or of another type. Live with the request.
 */
struct span status_text(const struct status_request *request, const char *key);
int64_t status_number(const struct status_request *request, const char *key);

/* Adds one line to the answer; `line` is a JSON text without line end. An answer of over 4 MiB that
   nobody has read is cut, and ends with an error. */
void status_line(struct status_request *request, struct span line);
/* True if so much is waiting to be sent that more lines should come later. */
bool status_is_full(const struct status_request *request);
/* For long answers: `more` is called when there is room again, `gone` if the asker went away (the
   request is then invalid and `state` is to be freed). Both get `state`. */
void status_continue(struct status_request *request,
                     void (*more)(struct status_request *, void *state), void (*gone)(void *state),
                     void *state);

void status_done(struct status_request *request);
void status_fail(struct status_request *request, const char *text);

#endif
