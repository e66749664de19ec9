/*
 * sink: `load sink`: listens, starts the threads, and prints the counts when asked and at the end.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "load/commands.h"
#include "load/sink_worker.h"

#define BACKLOG 4096 /* the kernel lowers it to net.core.somaxconn */

static void print_address(int fd)
{
    struct load_address bound = {.size = sizeof bound.address};
    char host[INET6_ADDRSTRLEN] = "";
    getsockname(fd, (struct sockaddr *)&bound.address, &bound.size);
    bool is_6 = bound.address.ss_family == AF_INET6;
    const void *raw = is_6 ? (const void *)&((struct sockaddr_in6 *)&bound.address)->sin6_addr
                           : (const void *)&((struct sockaddr_in *)&bound.address)->sin_addr;
    inet_ntop(bound.address.ss_family, raw, host, sizeof host);
    printf(is_6 ? "listening [%s]:%u\n" : "listening %s:%u\n", host, load_text_port(&bound));
}

static int listen_at(const struct load_address *address)
{
    static const int YES = 1;
    int type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
    int fd = socket(address->address.ss_family, type, 0);
    if (fd < 0) {
        load_text_die("socket: %s", strerror(errno));
    }
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &YES, sizeof YES);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &YES, sizeof YES); /* what is accepted inherits it */
    if (bind(fd, (const struct sockaddr *)&address->address, address->size) < 0 ||
        listen(fd, BACKLOG) < 0) {
        load_text_die("port %u: %s", load_text_port(address), strerror(errno));
    }
    print_address(fd);
    return fd;
}

static void open_sink(struct load_sink *sink)
{
    sink->stop = (struct load_sink_source){LOAD_SINK_STOP, eventfd(0, EFD_CLOEXEC)};
    sink->listeners = calloc(sink->plan.listeners_count, sizeof *sink->listeners);
    if (sink->listeners == NULL || sink->stop.fd < 0) {
        load_text_die("no memory or descriptor");
    }
    if (sink->plan.tokens_path != NULL) {
        sink->tokens = fopen(sink->plan.tokens_path, "we");
        if (sink->tokens == NULL) {
            load_text_die("%s: %s", sink->plan.tokens_path, strerror(errno));
        }
    }
    for (unsigned i = 0; i < sink->plan.listeners_count; i++) {
        int fd = listen_at(&sink->plan.listeners[i]);
        sink->listeners[i] = (struct load_sink_source){LOAD_SINK_LISTENER, fd};
    }
    fflush(stdout);
}

static void close_sink(struct load_sink *sink)
{
    for (unsigned i = 0; i < sink->plan.listeners_count; i++) {
        close(sink->listeners[i].fd);
    }
    close(sink->stop.fd);
    free(sink->listeners);
    free(sink->plan.listeners);
    if (sink->tokens != NULL && fclose(sink->tokens) != 0) {
        load_text_die("%s: %s", sink->plan.tokens_path, strerror(errno));
    }
}

/* The sum, except for the times: there the first and the last. */
static void add_counts(struct load_sink_counts *sum, struct load_sink_counts *counts)
{
    sum->connections += counts->connections;
    sum->messages += counts->messages;
    sum->recipients += counts->recipients;
    sum->bytes += counts->bytes;
    sum->refused_temporary += counts->refused_temporary;
    sum->refused_permanent += counts->refused_permanent;
    sum->broken_off += counts->broken_off;
    sum->bad_commands += counts->bad_commands;
    uint64_t first = counts->first_ns;
    sum->first_ns =
        sum->first_ns == 0 || (first != 0 && first < sum->first_ns) ? first : sum->first_ns;
    sum->last_ns = counts->last_ns > sum->last_ns ? counts->last_ns : sum->last_ns;
}

static void print_counts(const struct load_sink *sink, struct load_sink_worker **workers)
{
    struct load_sink_counts sum = {0};
    struct rusage used;
    for (uint64_t i = 0; i < sink->plan.threads; i++) {
        add_counts(&sum, &workers[i]->counts);
    }
    getrusage(RUSAGE_SELF, &used);
    printf("{\"connections\": %lu, \"messages\": %lu, \"recipients\": %lu, \"bytes\": %lu, ",
           sum.connections, sum.messages, sum.recipients, sum.bytes);
    printf(
        "\"refused\": {\"4yz\": %lu, \"5yz\": %lu}, \"broken_off\": %lu, \"bad_commands\": %lu, ",
        sum.refused_temporary, sum.refused_permanent, sum.broken_off, sum.bad_commands);
    /* The clock that Python calls time.monotonic(). */
    printf("\"first_s\": %.6f, \"last_s\": %.6f, ", (double)sum.first_ns / 1e9,
           (double)sum.last_ns / 1e9);
    printf("\"user_s\": %.6f, \"system_s\": %.6f}\n",
           (double)used.ru_utime.tv_sec + (double)used.ru_utime.tv_usec / 1e6,
           (double)used.ru_stime.tv_sec + (double)used.ru_stime.tv_usec / 1e6);
    /* Whoever asks for the counts may compare the tokens with them. */
    if (sink->tokens != NULL) {
        fflush(sink->tokens);
    }
    fflush(stdout);
}

/* SIGUSR1: the counts so far. SIGTERM (also our own, after the last message) and SIGINT: the end.
 */
static void wait_end(const struct load_sink *sink, const sigset_t *signals,
                     struct load_sink_worker **workers)
{
    int number = 0;
    while (sigwait(signals, &number) == 0 && number == SIGUSR1) {
        print_counts(sink, workers);
    }
}

static void stop_workers(struct load_sink *sink, struct load_sink_worker **workers)
{
    uint64_t one = 1;
    if (write(sink->stop.fd, &one, sizeof one) != sizeof one) {
        load_text_die("cannot stop the threads");
    }
    for (uint64_t i = 0; i < sink->plan.threads; i++) {
        pthread_join(workers[i]->thread, NULL);
    }
}

int load_sink(int count, char **words)
{
    struct load_sink sink = {0};
    struct load_sink_worker *workers[LOAD_SINK_MAX_THREADS];
    sigset_t signals;
    load_sink_plan_parse(count, words, &sink.plan);
    /* Before the threads, which inherit it: signals are for sigwait only. */
    sigemptyset(&signals);
    sigaddset(&signals, SIGUSR1);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    open_sink(&sink);
    for (uint64_t i = 0; i < sink.plan.threads; i++) {
        workers[i] = load_sink_worker_new(&sink);
        if (pthread_create(&workers[i]->thread, NULL, load_sink_worker_run, workers[i]) != 0) {
            load_text_die("cannot start a thread");
        }
    }
    wait_end(&sink, &signals, workers);
    stop_workers(&sink, workers);
    print_counts(&sink, workers);
    for (uint64_t i = 0; i < sink.plan.threads; i++) {
        load_sink_worker_free(workers[i]);
    }
    close_sink(&sink);
    return 0;
}
