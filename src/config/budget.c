#include "config/budget.h"

enum {
    KIB = 1024,
    MIB = 1024 * KIB,
    /* Of the heap: blocks are a little larger than what was asked for, and not all that is given
       back can be used again at once. */
    SLACK_PERCENT = 20,
    /* A delivered message's recipient in the queue: the spool's and the deliverer's entry, the
       message's own when it has no other recipient, their places in tables and heaps. */
    QUEUED_BYTES = 800,
    QUERY_BYTES = 16 * KIB,    /* a question to the DNS under way, in libunbound */
    PROGRAM_BYTES = 192 * MIB, /* code, libraries, stacks; 200000 rates; control sockets */

    FIXED_DESCRIPTORS = 30,   /* counted 21 in an idle worker; control, folders, reload: 9 */
    LISTENER_DESCRIPTORS = 2, /* it and its spare one */
    DELIVERY_DESCRIPTORS = 2, /* one that is at work, one that says farewell */
    QUERY_DESCRIPTORS = 256,  /* sockets of the resolver, if there are enough */
    LEAST_CLIENTS = 4,
    LEAST_DELIVERIES = 1,
    LEAST_SEGMENTS = 4,
    LEAST_QUERIES = 4,
};

/* ---- Memory ---- */

const char *config_memory_name(enum config_memory_part part)
{
    static const char *const NAMES[] = {
        [CONFIG_MEMORY_SESSIONS] = "sessions",     [CONFIG_MEMORY_ENVELOPES] = "envelopes",
        [CONFIG_MEMORY_DELIVERIES] = "deliveries", [CONFIG_MEMORY_BODIES] = "bodies",
        [CONFIG_MEMORY_NOTICES] = "notices",       [CONFIG_MEMORY_QUEUE] = "queue",
        [CONFIG_MEMORY_RESOLVER] = "resolver",     [CONFIG_MEMORY_PROGRAM] = "program"};

    return NAMES[part];
}

/* Saturates: the ceiling of absurd limits is absurd, not small. */
static uint64_t times(uint64_t count, uint64_t bytes)
{
    uint64_t product;

    return __builtin_mul_overflow(count, bytes, &product) ? UINT64_MAX : product;
}

static uint64_t plus(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static uint64_t with_slack(uint64_t bytes)
{
    return plus(bytes, bytes / 100 * SLACK_PERCENT);
}

struct config_memory config_memory_ceiling(const struct config *config)
{
    const struct deliver_limits *limits = &config->deliver.limits;
    uint64_t recipients = limits->recipients_per_message;
    struct config_memory memory = {0};

    for (size_t i = 0; i < config->deliver.limits_rule_count; i++) {
        uint32_t more = config->deliver.limits_rules[i].limits.recipients_per_message;

        recipients = more > recipients ? more : recipients;
    }
    recipients = recipients > DELIVER_MOST_RECIPIENTS ? DELIVER_MOST_RECIPIENTS : recipients;
    memory.bytes[CONFIG_MEMORY_SESSIONS] =
        with_slack(times(config->door.connections, RECEIVE_SESSION_BYTES));
    memory.bytes[CONFIG_MEMORY_ENVELOPES] = with_slack(config->receive.memory_bytes);
    memory.bytes[CONFIG_MEMORY_DELIVERIES] = with_slack(
        times(config->deliver.connections,
              DELIVER_CONNECTION_BYTES + recipients * DELIVER_CONNECTION_RECIPIENT_BYTES));
    memory.bytes[CONFIG_MEMORY_BODIES] =
        with_slack(plus(config->spool.memory_bytes, config->spool.unwritten_bytes));
    memory.bytes[CONFIG_MEMORY_NOTICES] = with_slack(
        plus((uint64_t)DELIVER_NOTICES_BYTES + DELIVER_NOTICES_WRITING_BYTES,
             times(config->deliver.connections,
                   DELIVER_NOTICE_MORE_BYTES + recipients * DELIVER_NOTICE_MORE_RECIPIENT_BYTES)));
    memory.bytes[CONFIG_MEMORY_QUEUE] = times(config->receive.queue_recipients, QUEUED_BYTES);
    memory.bytes[CONFIG_MEMORY_RESOLVER] =
        with_slack(plus(config->dns.cache_bytes, times(config->dns.query_limit, QUERY_BYTES)));
    memory.bytes[CONFIG_MEMORY_PROGRAM] = PROGRAM_BYTES;
    for (size_t i = 0; i < CONFIG_MEMORY_PARTS; i++) {
        memory.total_bytes = plus(memory.total_bytes, memory.bytes[i]);
    }
    return memory;
}

void config_memory_write(const struct config_memory *memory, struct buffer *out)
{
    (void)buffer_format(out, "%llu MiB:", (unsigned long long)(memory->total_bytes / MIB));
    for (size_t i = 0; i < CONFIG_MEMORY_PARTS; i++) {
        (void)buffer_format(out, "%s %s %llu", i > 0 ? "," : "",
                            config_memory_name((enum config_memory_part)i),
                            (unsigned long long)(memory->bytes[i] / MIB));
    }
}

/* ---- Descriptors ---- */

/* At most `wanted`, at most `share` percent of `all`, at least `least`. */
static uint32_t share_of(uint32_t all, uint32_t percent, uint32_t wanted, uint32_t least)
{
    uint32_t share = (uint32_t)((uint64_t)all * percent / 100);

    share = share < wanted ? share : wanted;
    return share > least ? share : least;
}

bool config_fit_descriptors(struct config *config, size_t available,
                            struct config_descriptors *ret_descriptors)
{
    uint32_t fixed = FIXED_DESCRIPTORS + LISTENER_DESCRIPTORS * (uint32_t)config->listener_count;
    uint32_t least = fixed + LEAST_CLIENTS + LEAST_DELIVERIES * DELIVERY_DESCRIPTORS +
                     LEAST_SEGMENTS + LEAST_QUERIES;
    struct config_descriptors found = {
        .available = available < UINT32_MAX ? (uint32_t)available : UINT32_MAX, .fixed = fixed};

    if (found.available < least) {
        return false;
    }
    uint32_t rest = found.available - fixed;

    found.queries = share_of(rest, 10, QUERY_DESCRIPTORS, LEAST_QUERIES);
    found.segments = share_of(rest, 20, config->receive.queue_segments, LEAST_SEGMENTS);
    found.deliveries = share_of(rest, 20, config->deliver.connections * DELIVERY_DESCRIPTORS,
                                LEAST_DELIVERIES * DELIVERY_DESCRIPTORS) /
                       DELIVERY_DESCRIPTORS;
    rest -= found.queries + found.segments + found.deliveries * DELIVERY_DESCRIPTORS;
    found.clients = rest < config->door.connections ? rest : config->door.connections;
    found.is_lowered = found.segments < config->receive.queue_segments ||
                       found.deliveries < config->deliver.connections ||
                       found.clients < config->door.connections;
    config->door.connections = found.clients;
    config->deliver.connections = found.deliveries;
    config->receive.queue_segments = found.segments;
    config->dns.sockets = found.queries;
    *ret_descriptors = found;
    return true;
}
