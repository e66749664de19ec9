#include "config/token-internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/require.h"

enum { FIRST_CAPACITY = 256 };

/* One file that is being read; they are nested by include. */
struct frame {
    uint32_t source;
    struct span bytes;
    size_t at;
    uint32_t line;
    size_t line_start;
    bool is_first; /* nothing but blanks so far on this line */
    size_t start;  /* token that begins the statement */
    size_t braces; /* open ones when the file began */
};

struct lexer {
    struct config_text *text;
    struct frame frames[CONFIG_INCLUDE_DEPTH];
    size_t depth;
    struct config_place open[CONFIG_BLOCK_DEPTH]; /* braces not yet closed */
    size_t open_count;
    bool is_over; /* past a limit: no more tokens */
};

void config_token_complain(struct config_text *text, enum config_severity severity,
                           const struct config_place *place, struct span message, struct span hint)
{
    const struct config_source *source = &text->sources[place->source];
    struct config_remark remark = {.severity = severity,
                                   .file = source->name,
                                   .bytes = buffer_span(&source->bytes),
                                   .place = *place,
                                   .message = message,
                                   .hint = hint};

    config_diagnostics_add(text->diagnostics, &remark);
}

static void complain(struct config_text *text, const struct config_place *place,
                     struct span message, struct span hint)
{
    config_token_complain(text, CONFIG_ERROR, place, message, hint);
}

/* ---- Files ---- */

static bool refuse_file(struct config_text *text, const char *path, const struct config_place *from,
                        const char *why)
{
    struct span message = arena_format(config_diagnostics_arena(text->diagnostics),
                                       "cannot read \"%s\": %s", path, why);

    if (from != NULL) {
        complain(text, from, message, span_of(NULL, 0));
    } else {
        config_diagnostics_add(text->diagnostics, &(struct config_remark){.severity = CONFIG_ERROR,
                                                                          .file = span_text(path),
                                                                          .message = message});
    }
    return false;
}

bool config_token_read(struct config_text *text, const char *path, const struct config_place *from,
                       uint32_t *ret_source)
{
    struct config_source *source = &text->sources[text->source_count];
    size_t room = CONFIG_ALL_BYTES - text->bytes;
    int error;

    if (text->source_count == CONFIG_FILES) {
        return refuse_file(text, path, from, "more than 100 files");
    }
    buffer_init(&source->bytes, room < CONFIG_FILE_BYTES ? room : CONFIG_FILE_BYTES);
    error = text->reader.read(text->reader.context, path, &source->bytes);
    if (error != 0) {
        const char *why = strerrordesc_np(error < 0 ? -error : error);
        bool is_large = error == -EFBIG;

        buffer_done(&source->bytes);
        why = why == NULL ? "it cannot be opened" : why;
        return refuse_file(text, path, from,
                           is_large ? "a file has at most 16M, all together 128M" : why);
    }
    text->bytes += buffer_size(&source->bytes);
    source->path = arena_text(text->arena, span_text(path));
    source->name = span_text(source->path);
    *ret_source = (uint32_t)text->source_count++;
    return true;
}

const char *config_token_path(const struct config_text *text, uint32_t source, struct span path)
{
    struct span folder = text->sources[source].name;
    size_t slash;

    if (path.size > 0 && path.data[0] != '/' && span_find_last(folder, '/', &slash)) {
        folder = span_first(folder, slash);
        path = arena_format(text->arena, "%.*s/%.*s", (int)folder.size, (const char *)folder.data,
                            (int)path.size, (const char *)path.data);
    }
    return arena_text(text->arena, path);
}

void config_token_done(struct config_text *text)
{
    for (size_t i = 0; i < text->source_count; i++) {
        buffer_done(&text->sources[i].bytes);
    }
    free(text->tokens);
    text->tokens = NULL;
}

/* ---- Tokens ---- */

static struct frame *top(struct lexer *lexer)
{
    return &lexer->frames[lexer->depth - 1];
}

static struct config_place place_at(const struct frame *frame, size_t at, size_t width)
{
    return (struct config_place){.source = frame->source,
                                 .line = frame->line,
                                 .column = (uint32_t)(at - frame->line_start + 1),
                                 .width = (uint32_t)width,
                                 .offset = (uint32_t)at};
}

static void push(struct lexer *lexer, enum config_token_kind kind, struct span value,
                 struct config_place place)
{
    struct config_text *text = lexer->text;
    struct frame *frame = top(lexer);

    if (text->count == CONFIG_TOKENS && !lexer->is_over) {
        complain(text, &place, SPAN("the configuration has more than 1000000 words"),
                 SPAN("long lists belong in a table: file \"...\""));
        lexer->is_over = true;
    }
    if (lexer->is_over && kind != CONFIG_TOKEN_END) {
        return;
    }
    if (text->count == text->capacity) {
        size_t capacity = text->capacity == 0 ? FIRST_CAPACITY : text->capacity * 2;
        struct config_token *tokens = reallocarray(text->tokens, capacity, sizeof(*tokens));

        if (tokens == NULL) {
            require_memory_failed();
        }
        text->tokens = tokens;
        text->capacity = capacity;
    }
    text->tokens[text->count++] = (struct config_token){
        .kind = kind, .text = value, .place = place, .is_first = frame->is_first};
    frame->is_first = false;
}

static bool is_blank(uint8_t byte)
{
    return byte == ' ' || byte == '\t';
}

static bool is_control(uint8_t byte)
{
    return byte < ' ' || byte == 0x7f;
}

static bool ends_word(uint8_t byte)
{
    return is_blank(byte) || is_control(byte) || strchr(";,{}\"#", byte) != NULL;
}

static void read_word(struct lexer *lexer)
{
    struct frame *frame = top(lexer);
    size_t end = frame->at;

    while (end < frame->bytes.size && !ends_word(frame->bytes.data[end])) {
        end++;
    }
    struct span word = span_first(span_from(frame->bytes, frame->at), end - frame->at);
    push(lexer, CONFIG_TOKEN_WORD, word, place_at(frame, frame->at, word.size));
    frame->at = end;
}

/* The text between the quotes without its backslashes. */
static struct span unescape(struct arena *arena, struct span raw)
{
    size_t escape, size = 0;

    if (!span_find(raw, '\\', &escape)) {
        return raw;
    }
    uint8_t *text = arena_alloc(arena, raw.size);
    for (size_t i = 0; i < raw.size; i++) {
        i += raw.data[i] == '\\' && i + 1 < raw.size ? 1 : 0;
        text[size++] = raw.data[i];
    }
    return span_of(text, size);
}

/* Where the closing quote stands; what is wrong inside is said. False: there is none on this line.
 */
static bool find_quote(struct lexer *lexer, size_t *ret_end)
{
    struct frame *frame = top(lexer);
    struct span bytes = frame->bytes;

    for (size_t i = frame->at + 1; i < bytes.size && bytes.data[i] != '\n'; i++) {
        struct config_place place = place_at(frame, i, 1);
        struct span rest = span_from(bytes, i);

        if (bytes.data[i] == '"') {
            *ret_end = i;
            return true;
        }
        if (span_starts(rest, SPAN("\r\n"))) {
            return false;
        }
        if (is_control(bytes.data[i]) && bytes.data[i] != '\t') {
            complain(lexer->text, &place, SPAN("a control character in a string"),
                     SPAN("remove it"));
        }
        if (bytes.data[i] == '\\') {
            bool fits =
                i + 1 < bytes.size && (bytes.data[i + 1] == '"' || bytes.data[i + 1] == '\\');
            if (!fits) {
                complain(lexer->text, &place, SPAN("a backslash that escapes nothing"),
                         SPAN("in a string only \\\" and \\\\ are known"));
            }
            i += fits ? 1 : 0;
        }
    }
    return false;
}

static void read_string(struct lexer *lexer)
{
    struct frame *frame = top(lexer);
    size_t start = frame->at, end;

    if (find_quote(lexer, &end)) {
        struct span raw = span_first(span_from(frame->bytes, start + 1), end - start - 1);

        push(lexer, CONFIG_TOKEN_STRING, unescape(lexer->text->arena, raw),
             place_at(frame, start, end + 1 - start));
        frame->at = end + 1;
        return;
    }
    struct span rest = span_from(frame->bytes, start);
    struct config_place place;
    if (span_find(rest, '\n', &end)) {
        rest = span_first(rest, end);
    }
    if (rest.data[rest.size - 1] == '\r') {
        rest = span_first(rest, rest.size - 1);
    }
    place = place_at(frame, start, rest.size);
    complain(lexer->text, &place, SPAN("a string without its closing quote"),
             SPAN("a string ends on the line on which it begins"));
    push(lexer, CONFIG_TOKEN_STRING, span_from(rest, 1), place);
    push(lexer, CONFIG_TOKEN_SEMICOLON, span_of(NULL, 0), place); /* it is likely to be in there */
    frame->start = lexer->text->count;
    frame->at += rest.size;
}

static void open_block(struct lexer *lexer, struct config_place place)
{
    struct frame *frame = top(lexer);

    if (lexer->open_count == CONFIG_BLOCK_DEPTH) {
        if (!lexer->is_over) {
            complain(lexer->text, &place, SPAN("too many blocks inside one another"),
                     SPAN("at most 8"));
        }
        lexer->is_over = true;
        return;
    }
    lexer->open[lexer->open_count++] = place;
    push(lexer, CONFIG_TOKEN_OPEN, span_of(NULL, 0), place);
    frame->start = lexer->text->count;
}

static void close_block(struct lexer *lexer, struct config_place place)
{
    struct frame *frame = top(lexer);

    if (lexer->open_count == frame->braces) {
        if (!lexer->is_over) {
            complain(lexer->text, &place, SPAN("a \"}\" without its \"{\""), SPAN("remove it"));
        }
        return;
    }
    lexer->open_count--;
    push(lexer, CONFIG_TOKEN_CLOSE, span_of(NULL, 0), place);
    frame->start = lexer->text->count;
}

/* ---- Includes ---- */

static bool is_open(const struct lexer *lexer, const char *path)
{
    for (size_t i = 0; i < lexer->depth; i++) {
        if (strcmp(lexer->text->sources[lexer->frames[i].source].path, path) == 0) {
            return true;
        }
    }
    return false;
}

static void enter(struct lexer *lexer, uint32_t source)
{
    struct config_text *text = lexer->text;

    lexer->frames[lexer->depth++] =
        (struct frame){.source = source,
                       .bytes = buffer_span(&text->sources[source].bytes),
                       .line = 1,
                       .is_first = true,
                       .start = text->count,
                       .braces = lexer->open_count};
}

static void include(struct lexer *lexer, const struct config_token *named)
{
    struct config_text *text = lexer->text;
    struct config_place place = named->place;
    const char *path = config_token_path(text, place.source, named->text);
    uint32_t source;

    if (named->text.size == 0 || named->text.size >= CONFIG_PATH_SIZE) {
        complain(text, &place, SPAN("not a file name"), span_of(NULL, 0));
    } else if (is_open(lexer, path)) {
        complain(text, &place, SPAN("this file is being included already"),
                 SPAN("a file cannot include itself, not even through others"));
    } else if (lexer->depth == CONFIG_INCLUDE_DEPTH) {
        complain(text, &place, SPAN("too many includes inside one another"), SPAN("at most 8"));
    } else if (config_token_read(text, path, &place, &source)) {
        enter(lexer, source);
    }
}

static void end_statement(struct lexer *lexer, struct config_place place)
{
    struct config_text *text = lexer->text;
    struct frame *frame = top(lexer);
    size_t start = frame->start;

    if (text->count == start + 2 && text->tokens[start].kind == CONFIG_TOKEN_WORD &&
        span_equal(text->tokens[start].text, SPAN("include")) &&
        text->tokens[start + 1].kind <= CONFIG_TOKEN_STRING) {
        struct config_token named = text->tokens[start + 1];

        text->count = start;
        frame->is_first = false;
        include(lexer, &named);
        return;
    }
    push(lexer, CONFIG_TOKEN_SEMICOLON, span_of(NULL, 0), place);
    frame->start = text->count;
}

static void leave(struct lexer *lexer)
{
    struct frame *frame = top(lexer);
    struct config_place place = place_at(frame, frame->at, 1);

    while (lexer->open_count > frame->braces) {
        lexer->open_count--;
        if (!lexer->is_over) {
            complain(lexer->text, &lexer->open[lexer->open_count],
                     SPAN("a \"{\" without its \"}\""),
                     SPAN("the block must end in the same file"));
        }
        push(lexer, CONFIG_TOKEN_CLOSE, span_of(NULL, 0), place);
    }
    push(lexer, CONFIG_TOKEN_END, span_of(NULL, 0), place);
    lexer->depth--;
    if (lexer->depth > 0) {
        top(lexer)->start = lexer->text->count;
    }
}

/* ---- All together ---- */

static void skip_comment(struct frame *frame)
{
    while (frame->at < frame->bytes.size && frame->bytes.data[frame->at] != '\n') {
        frame->at++;
    }
}

static void read_control(struct lexer *lexer, uint8_t byte)
{
    struct frame *frame = top(lexer);
    struct config_place place = place_at(frame, frame->at, 1);

    frame->at++;
    if (byte == '\n') {
        frame->line++;
        frame->line_start = frame->at;
        frame->is_first = true;
    } else if (byte != '\r' || frame->at == frame->bytes.size ||
               frame->bytes.data[frame->at] != '\n') {
        complain(lexer->text, &place, SPAN("a control character"), SPAN("remove it"));
    }
}

static void read_mark(struct lexer *lexer, uint8_t byte)
{
    struct frame *frame = top(lexer);
    struct config_place place = place_at(frame, frame->at, 1);

    frame->at++;
    if (byte == ';') {
        end_statement(lexer, place);
    } else if (byte == '{') {
        open_block(lexer, place);
    } else if (byte == '}') {
        close_block(lexer, place);
    } else {
        push(lexer, CONFIG_TOKEN_COMMA, span_of(NULL, 0), place);
    }
}

static void read_next(struct lexer *lexer)
{
    struct frame *frame = top(lexer);
    uint8_t byte = frame->bytes.data[frame->at];

    if (is_blank(byte)) {
        frame->at++;
    } else if (is_control(byte)) {
        read_control(lexer, byte);
    } else if (byte == '#') {
        skip_comment(frame);
    } else if (byte == '"') {
        read_string(lexer);
    } else if (strchr(";,{}", byte) != NULL) {
        read_mark(lexer, byte);
    } else {
        read_word(lexer);
    }
}

void config_token_load(struct config_text *text, const char *path)
{
    struct lexer lexer = {.text = text};
    uint32_t source;

    if (!config_token_read(text, path, NULL, &source)) {
        return;
    }
    enter(&lexer, source);
    while (lexer.depth > 0) {
        if (top(&lexer)->at < top(&lexer)->bytes.size && !lexer.is_over) {
            read_next(&lexer);
        } else {
            leave(&lexer);
        }
    }
}
