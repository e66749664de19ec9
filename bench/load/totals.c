#include "load/totals.h"

static void add_refusals(struct load_refusals *into, const struct load_refusals *from)
{
    into->temporary += from->temporary;
    into->permanent += from->permanent;
}

void load_totals_add(struct load_totals *into, const struct load_totals *from)
{
    into->begun += from->begun;
    into->accepted += from->accepted;
    add_refusals(&into->refused, &from->refused);
    into->recipients_accepted += from->recipients_accepted;
    add_refusals(&into->recipients_refused, &from->recipients_refused);
    into->connections += from->connections;
    add_refusals(&into->connections_refused, &from->connections_refused);
    into->held += from->held;
    into->not_connected += from->not_connected;
    into->lost += from->lost;
    into->timed_out += from->timed_out;
    into->not_smtp += from->not_smtp;
    into->bytes += from->bytes;
    if (from->last_reply_ns > into->last_reply_ns) {
        into->last_reply_ns = from->last_reply_ns;
    }
    load_histogram_merge(&into->latency_ns, &from->latency_ns);
    load_histogram_merge(&into->reply_ns, &from->reply_ns);
}
