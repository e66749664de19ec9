/*
 * Clients that misbehave. Each follows a script, a line a step:
 *
 *   >TEXT  writes it, with CRLF        =TEXT  writes it as it is      ~TEXT  an octet every 20 s
 *   <      waits for a whole reply     z      waits a while           X      writes 300 KB
 *   N      reads no more               R F C  resets, half-closes, closes
 *   H      waits until the other ends
 *
 * None of them ever sends a message that may be accepted (who talks too early may be lucky: his has
 * a bare line feed): whatever arrives from a rogue is a broken invariant. One that is cut short
 * does something else at a step of the seed's choice.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/storm-internal.h"

enum { PAUSE_S = 3, DRIP_S = 20, FLOOD_BYTES = 300 * 1024, PIECE = 1024, AT_ONCE = 12 };

#define HELLO "<", ">EHLO rogue.example", "<"
#define ENVELOPE                                                                                   \
    HELLO, ">MAIL FROM:<rogue@home.example.net>", "<", ">RCPT TO:<rogue@d0.example.org>", "<"
#define CONTENT ENVELOPE, ">DATA", "<"
#define BYE     ">QUIT", "<", "C", NULL

enum whom { INSIDER, STRANGER, PROXY };

static const struct rogue_kind {
    const char *name;
    enum whom whom;
    bool is_cut_short;
    const char *const steps[24];
} KINDS[] = {
    {"rogue: talks first", INSIDER, false, {">EHLO rogue.example", ">NOOP", "H", NULL}},
    {"rogue: content before 354",
     INSIDER,
     false,
     {ENVELOPE, ">DATA\r\nSubject: rogue\r\n\r\nx\ny\r\n.", "<", BYE}},
    {"rogue: all at once",
     INSIDER,
     false,
     {"<",
      ">EHLO x\r\nMAIL FROM:<rogue@home.example.net>\r\nRCPT TO:<rogue@d0.example.org>\r\nDATA\r\n"
      "rogue\nx\r\n.\r\nQUIT",
      "H", NULL}},
    {"rogue: BDAT before MAIL", INSIDER, false, {HELLO, ">BDAT 5 LAST\r\nrogue", "<", BYE}},
    {"rogue: DATA amid BDAT",
     INSIDER,
     false,
     {ENVELOPE, "=BDAT 7\r\nrogue\r\n", "<", ">DATA", "<", ">RCPT TO:<rogue@d1.example.org>", "<",
      "=BDAT 7\r\nrogue\r\n", "<", ">RSET", "<", BYE}},
    {"rogue: BDAT of too little",
     INSIDER,
     false,
     {ENVELOPE, "=BDAT 99 LAST\r\nrogue\r\n", "F", "H", NULL}},
    {"rogue: BDAT of nonsense",
     INSIDER,
     false,
     {ENVELOPE, ">BDAT -1 LAST", "<", ">BDAT 99999999999999999999", "<", ">BDAT x", "<",
      ">BDAT 4 FIRST", "<", BYE}},
    {"rogue: BDAT with a bare line feed",
     INSIDER,
     false,
     {ENVELOPE, "=BDAT 16 LAST\r\nSubject: x\n\nabc\n", "<", BYE}},
    {"rogue: BDAT ends in half a line end",
     INSIDER,
     false,
     {ENVELOPE, "=BDAT 4 LAST\r\nabc\r", "<", BYE}},
    {"rogue: DATA after nothing",
     INSIDER,
     false,
     {HELLO, ">DATA", "<", ">RSET", "<", ">DATA", "<", BYE}},
    {"rogue: DATA after RSET", INSIDER, false, {ENVELOPE, ">RSET", "<", ">DATA", "<", BYE}},
    {"rogue: DATA after EHLO", INSIDER, false, {ENVELOPE, ">EHLO again", "<", ">DATA", "<", BYE}},
    {"rogue: smuggles with line feeds",
     INSIDER,
     false,
     {CONTENT,
      "=Subject: rogue\r\n\r\nx\n.\nMAIL FROM:<smuggled@home.example.net>\nRCPT "
      "TO:<smuggled@d0.example.org>\nDATA\nx\n.\n",
      ">x\r\n.", "<", BYE}},
    {"rogue: smuggles with a bare dot line",
     INSIDER,
     false,
     {CONTENT,
      "=Subject: rogue\r\n\r\nx\n.\r\nMAIL FROM:<smuggled@home.example.net>\r\nRCPT "
      "TO:<smuggled@d0.example.org>\r\nDATA\r\nx\r\n.\r\n",
      "H", NULL}},
    {"rogue: smuggles with carriage returns",
     INSIDER,
     false,
     {CONTENT, "=Subject: rogue\r\n\r\nx\r.\rMAIL FROM:<smuggled@home.example.net>\r", ">\r\n.",
      "<", BYE}},
    {"rogue: bare line feeds in commands",
     INSIDER,
     false,
     {HELLO, "=MAIL FROM:<rogue@home.example.net>\nRCPT TO:<rogue@d0.example.org>\nDATA\n", "z",
      ">", "<", BYE}},
    {"rogue: speaks HTTP",
     INSIDER,
     false,
     {"<",
      "=POST / HTTP/1.1\r\nHost: relay\r\nContent-Length: 99\r\n\r\nMAIL FROM:<rogue@home."
      "example.net>\r\nRCPT TO:<rogue@d0.example.org>\r\nDATA\r\n",
      "H", NULL}},
    {"rogue: speaks TLS",
     INSIDER,
     false,
     {"<", "=\x16\x03\x01\x02\xff\x01\xff\xfc\x03\x03", "H", NULL}},
    {"rogue: a command without end", INSIDER, false, {"<", "X", "H", NULL}},
    {"rogue: a line of content without end", INSIDER, false, {CONTENT, "X", ">", "R", NULL}},
    {"rogue: more than the limit",
     INSIDER,
     false,
     {CONTENT, "X", ">", "X", ">", "X", ">", "X", ">", ">.", "<", BYE}},
    {"rogue: announces too much",
     INSIDER,
     false,
     {HELLO, ">MAIL FROM:<rogue@home.example.net> SIZE=99999999", "<", BYE}},
    {"rogue: makes mistakes",
     INSIDER,
     false,
     {HELLO, ">FOO", ">BAR", ">FOO", ">BAR", ">FOO", ">BAR", ">FOO", ">BAR", ">FOO", ">BAR", ">FOO",
      ">BAR", ">FOO", "H", NULL}},
    {"rogue: bad parameters",
     INSIDER,
     false,
     {HELLO, ">MAIL FROM:<rogue@home.example.net> BODY=9BIT", "<",
      ">MAIL FROM:<\xc3\xa4@home.example.net>", "<", ">MAIL FROM:rogue@home.example.net", "<",
      ">RCPT TO:<rogue@d0.example.org>", "<", ">MAIL FROM:<a@b> ENVID=decoy ENVID=decoy", "<",
      BYE}},
    {"rogue: dribbles a command",
     INSIDER,
     false,
     {"<", "~EHLO rogue.example.rogue.example\r\n", "H", NULL}},
    {"rogue: dribbles content",
     INSIDER,
     false,
     {CONTENT, "~Subject: rogue rogue rogue rogue rogue rogue rogue\r\n\r\nrogue\r\n", "H", NULL}},
    {"rogue: says nothing", INSIDER, false, {"H", NULL}},
    {"rogue: stops in the envelope", INSIDER, false, {ENVELOPE, "H", NULL}},
    {"rogue: stops in the content", INSIDER, false, {CONTENT, ">Subject: rogue", "H", NULL}},
    {"rogue: stops in a chunk", INSIDER, false, {ENVELOPE, "=BDAT 99999\r\nrogue", "H", NULL}},
    {"rogue: never reads",
     INSIDER,
     false,
     {"N", "z", ">EHLO rogue.example", "z", "=HELP\r\nHELP\r\nHELP\r\nNOOP\r\n", "X", "H", NULL}},
    {"rogue: idles with commands", INSIDER, false, {HELLO, "X", "H", NULL}},
    {"rogue: asks for STARTTLS",
     INSIDER,
     false,
     {HELLO,
      "=STARTTLS\r\nMAIL FROM:<rogue@home.example.net>\r\nRCPT TO:<rogue@d0.example.org>\r\n", "<",
      "<", "<", ">RSET", "<", BYE}},
    {"rogue: asks for STARTTLS alone",
     INSIDER,
     false,
     {HELLO, "=STARTTLS\r\n", "<", ">MAIL FROM:<rogue@home.example.net>", "<", ">RSET", "<", BYE}},
    {"rogue: asks for everything else",
     INSIDER,
     false,
     {HELLO, ">AUTH PLAIN AHgAeA==", "<", ">VRFY root", "<", ">EXPN all", "<", ">HELP", "<",
      ">ETRN d0.example.org", "<", ">TURN", "<", ">XCLIENT ADDR=198.51.100.1", "<", BYE}},
    {"rogue: is cut short",
     INSIDER,
     true,
     {CONTENT, "=Subject: rogue\r\n", "z", "=\r\nrogue\r\n", "z", "=.", "R", NULL}},
    {"rogue: is cut short in chunks",
     INSIDER,
     true,
     {ENVELOPE, "=BDAT 7\r\nrogue\r\n", "<", "=BDAT 7\r\nrogue\r\n", "<", "=BDAT 7 LA", "R", NULL}},
    {"rogue: a stranger relays",
     STRANGER,
     false,
     {HELLO, ">MAIL FROM:<rogue@home.example.net>", "<", ">RCPT TO:<rogue@d0.example.org>", "<",
      ">RCPT TO:<rogue%d0.example.org@home.example.net>", "<",
      ">RCPT TO:<@home.example.net:rogue@d0.example.org>", "<",
      ">RCPT TO:<\"rogue@d0.example.org\"@relay.example.net>", "<",
      ">RCPT TO:<rogue@[203.0.113.2]>", "<", ">DATA", "<", BYE}},
    {"rogue: a stranger brings PROXY",
     STRANGER,
     false,
     {"<", ">PROXY TCP4 198.51.100.9 192.0.2.1 4000 25", "<", ">EHLO x", "<",
      ">MAIL FROM:<rogue@home.example.net>", "<", ">RCPT TO:<rogue@d0.example.org>", "<", BYE}},
    {"rogue: PROXY of nonsense",
     PROXY,
     false,
     {">PROXY TCP4 198.51.100.999 192.0.2.1 4000 26", "H", NULL}},
    {"rogue: PROXY of an unknown client",
     PROXY,
     false,
     {">PROXY UNKNOWN", "<", ">EHLO x", "<", ">MAIL FROM:<rogue@home.example.net>", "<",
      ">RCPT TO:<rogue@d0.example.org>", "<", BYE}},
    {"rogue: half a PROXY header", PROXY, false, {"=PROXY TCP4 198.5", "H", NULL}},
    {"rogue: PROXY without a header", PROXY, false, {">EHLO rogue.example", "H", NULL}},
    {"rogue: PROXY 2 of nonsense",
     PROXY,
     false,
     {"=\r\n\r", "z", "=\nQUIT\n\x21\x11\xff\xff", "H", NULL}},
    {"rogue: PROXY header twice",
     PROXY,
     false,
     {">PROXY TCP4 203.0.113.200 192.0.2.1 4000 26", "<",
      ">PROXY TCP4 198.51.100.9 192.0.2.1 4000 26", "<", ">EHLO x", "<",
      ">MAIL FROM:<rogue@home.example.net>", "<", ">RCPT TO:<rogue@d0.example.org>", "<", BYE}},
};

enum { KIND_COUNT = sizeof(KINDS) / sizeof(KINDS[0]), STEP_MOST = 24 };

struct storm_rogue {
    struct storm *storm;
    const struct rogue_kind *kind;
    struct sim_end *end;
    size_t step, cut_at; /* SIZE_MAX: it is not cut short */
    size_t dripped;
    bool waits, deaf, done, asked_starttls;
    struct sim_event next;
};

static void go_on(struct storm_rogue *rogue);

void sim_storm_expect_rogues(struct storm *storm)
{
    for (size_t i = 0; i < KIND_COUNT; i++) {
        sim_expect(storm->sim, KINDS[i].name);
    }
    sim_expect(storm->sim, "rogue: many at once");
}

static void finish(struct storm_rogue *rogue, bool reset)
{
    sim_event_cancel(&rogue->next);
    if (reset) {
        sim_end_reset(rogue->end);
    } else {
        sim_end_close(rogue->end);
    }
    rogue->end = NULL;
    rogue->done = true;
}

static void flood(struct storm_rogue *rogue)
{
    uint8_t piece[PIECE];
    bool noop = strcmp(rogue->kind->name, "rogue: idles with commands") == 0;

    for (size_t i = 0; i < sizeof(piece); i++) {
        piece[i] = noop ? (uint8_t) "NOOP\r\n??"[i % 6] : 'x';
    }
    for (size_t i = 0; i < FLOOD_BYTES / PIECE; i++) {
        sim_end_write(rogue->end, span_of(piece, noop ? PIECE - PIECE % 6 : PIECE));
    }
}

static void pause_for(struct storm_rogue *rogue, int64_t seconds)
{
    sim_event_set(&rogue->next, seconds * SIM_SECOND);
}

static void drip(struct storm_rogue *rogue, const char *text)
{
    sim_end_write(rogue->end, span_of(text + rogue->dripped, 1));
    rogue->dripped++;
    if (text[rogue->dripped] == '\0') {
        rogue->dripped = 0;
        rogue->step++;
    }
    pause_for(rogue, DRIP_S);
}

/* True: the next step follows at once. */
static bool take_step(struct storm_rogue *rogue, const char *step)
{
    switch (step[0]) {
    case '>':
        sim_end_write(rogue->end, span_text(step + 1));
        sim_end_write(rogue->end, SPAN("\r\n"));
        return true;
    case '=':
        rogue->asked_starttls |= strncmp(step, "=STARTTLS", 9) == 0;
        sim_end_write(rogue->end, span_text(step + 1));
        return true;
    case '<':
    case 'H':
        rogue->waits = true;
        return false;
    case 'X':
        flood(rogue);
        return true;
    case 'N':
        rogue->deaf = true;
        return true;
    case 'F':
        sim_end_finish(rogue->end);
        return true;
    case 'z':
        pause_for(rogue, PAUSE_S);
        return false;
    default:
        finish(rogue, step[0] == 'R');
        return false;
    }
}

static const char *current_step(struct storm_rogue *rogue)
{
    static const char *const ENDS[] = {"R", "F", "C", "H"};

    if (rogue->step == rogue->cut_at) {
        return ENDS[sim_below(rogue->storm->sim, 4)];
    }
    return rogue->step > rogue->cut_at ? "H" : rogue->kind->steps[rogue->step];
}

static void go_on(struct storm_rogue *rogue)
{
    bool more = true;

    rogue->waits = false;
    while (more && !rogue->done) {
        const char *step = current_step(rogue);

        if (step == NULL) {
            finish(rogue, false);
        } else if (step[0] == '~') {
            drip(rogue, step + 1);
            return;
        } else {
            rogue->step += step[0] == 'H' ? 0 : 1;
            more = take_step(rogue, step);
        }
    }
}

static void on_next(void *context)
{
    go_on(context);
}

/* ---- What it hears ---- */

static void take_line(struct storm_rogue *rogue, struct span line)
{
    struct storm *storm = rogue->storm;

    storm->starttls_offered |= span_ends_nocase(line, SPAN("STARTTLS")) && line.data[0] == '2';
    if (rogue->asked_starttls) {
        rogue->asked_starttls = false;
        storm->starttls_accepted |= line.data[0] == '2';
    }
    if (memmem(line.data, line.size, "queued as", 9) != NULL) {
        storm->invariant = "one line decoder";
        sim_storm_complain(storm, "it took a message of \"%s\"", rogue->kind->name);
        storm->invariant = NULL;
    }
    if (rogue->waits && line.size > 3 && line.data[3] == ' ' && rogue->step > 0 &&
        rogue->kind->steps[rogue->step - 1][0] == '<') {
        go_on(rogue);
    }
}

static void on_input(void *context)
{
    struct storm_rogue *rogue = context;
    size_t at;

    while (!rogue->done && !rogue->deaf && span_find(sim_end_input(rogue->end), '\n', &at)) {
        uint8_t line[1024];
        size_t size = at < sizeof(line) ? at : sizeof(line);

        memcpy(line, sim_end_input(rogue->end).data, size);
        sim_end_consume(rogue->end, at + 1);
        size -= size > 0 && line[size - 1] == '\r' ? 1 : 0;
        if (size > 0) {
            take_line(rogue, span_of(line, size));
        }
    }
}

static void on_ended(void *context, int error)
{
    (void)error;
    finish(context, false);
}

/* ---- Their beginning and end ---- */

static void start_one(struct storm *storm, const struct rogue_kind *kind)
{
    static const struct sim_end_handler HANDLER = {.input = on_input, .ended = on_ended};
    static const uint8_t SOURCES[][4] = {[INSIDER] = {198, 51, 100, 251},
                                         [STRANGER] = {203, 0, 113, 200},
                                         [PROXY] = {192, 0, 2, 80}};
    struct ip_endpoint target = {{IP_V4, {192, 0, 2, 1}}, kind->whom == PROXY ? 26 : 25};
    struct ip_endpoint source = {{IP_V4, {0}}, 0};
    struct storm_rogue *rogue = sim_allocate(sizeof(*rogue));

    memcpy(source.ip.bytes, SOURCES[kind->whom], 4);
    if (kind->whom == INSIDER) {
        source.ip.bytes[3] = (uint8_t)sim_below(storm->sim, 250);
    }
    rogue->storm = storm;
    rogue->kind = kind;
    rogue->cut_at = kind->is_cut_short ? sim_below(storm->sim, STEP_MOST / 2) : SIZE_MAX;
    sim_event_init(&rogue->next, storm->sim, on_next, rogue);
    storm->rogues[storm->rogue_count++] = rogue;
    rogue->end = sim_end_connect(sim_world_network(storm->world), source, target, NULL);
    sim_end_handle(rogue->end, &HANDLER, rogue);
    sim_reached(storm->sim, kind->name);
    go_on(rogue);
}

void sim_storm_start_rogue(struct storm *storm)
{
    const struct rogue_kind *kind = &KINDS[sim_below(storm->sim, KIND_COUNT)];
    size_t count = sim_chance(storm->sim, 100) ? AT_ONCE : 1;

    if (count > 1) {
        sim_reached(storm->sim, "rogue: many at once");
    }
    for (size_t i = 0; i < count && storm->rogue_count < STORM_ROGUES; i++) {
        start_one(storm, kind);
    }
}

void sim_storm_free_rogues(struct storm *storm)
{
    for (size_t i = 0; i < storm->rogue_count; i++) {
        struct storm_rogue *rogue = storm->rogues[i];

        if (!rogue->done) {
            finish(rogue, false);
        }
        free(rogue);
    }
}
