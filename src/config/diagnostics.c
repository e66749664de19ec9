#include "config/diagnostics-internal.h"

#include <stdlib.h>

#include "base/require.h"
#include "base/text.h"

enum {
    ARENA_BYTES = 64 * 1024 * 1024, /* far more than CONFIG_DIAGNOSTICS can fill */
    FIRST_CAPACITY = 16,
    HIGHEST_PART = 0xbf, /* of the second and later octets of a UTF-8 sequence */
};

struct item {
    struct config_diagnostic shown;
    uint32_t source;   /* sorts the files */
    uint32_t sequence; /* keeps the order of those at one place */
};

struct config_diagnostics {
    struct arena *arena;
    struct item *items;
    size_t count, capacity, errors;
};

struct config_diagnostics *config_diagnostics_new(void)
{
    struct config_diagnostics *diagnostics = calloc(1, sizeof(*diagnostics));

    if (diagnostics == NULL) {
        require_memory_failed();
    }
    diagnostics->arena = arena_new(ARENA_BYTES);
    return diagnostics;
}

void config_diagnostics_free(struct config_diagnostics *diagnostics)
{
    if (diagnostics != NULL) {
        arena_free(diagnostics->arena);
        free(diagnostics->items);
        free(diagnostics);
    }
}

size_t config_diagnostics_count(const struct config_diagnostics *diagnostics)
{
    return diagnostics->count;
}

size_t config_diagnostics_errors(const struct config_diagnostics *diagnostics)
{
    return diagnostics->errors;
}

const struct config_diagnostic *config_diagnostics_at(const struct config_diagnostics *diagnostics,
                                                      size_t index)
{
    require(index < diagnostics->count);
    return &diagnostics->items[index].shown;
}

struct arena *config_diagnostics_arena(struct config_diagnostics *diagnostics)
{
    return diagnostics->arena;
}

static struct item *new_item(struct config_diagnostics *diagnostics)
{
    if (diagnostics->count == diagnostics->capacity) {
        size_t capacity = diagnostics->capacity == 0 ? FIRST_CAPACITY : diagnostics->capacity * 2;
        struct item *items = reallocarray(diagnostics->items, capacity, sizeof(*items));

        if (items == NULL) {
            require_memory_failed();
        }
        diagnostics->items = items;
        diagnostics->capacity = capacity;
    }
    return &diagnostics->items[diagnostics->count++];
}

/* The line on which the place is; empty if the place is too far right to be shown. */
static struct span line_at(struct span bytes, const struct config_place *place)
{
    size_t start = place->offset - (place->column - 1);
    struct span line = span_first(span_from(bytes, start), CONFIG_DIAGNOSTIC_LINE_SIZE);
    size_t end;

    if (place->line == 0 || place->column > CONFIG_DIAGNOSTIC_LINE_SIZE) {
        return span_of(NULL, 0);
    }
    if (span_find(line, '\n', &end)) {
        line = span_first(line, end);
    }
    if (line.size > 0 && line.data[line.size - 1] == '\r') {
        line = span_first(line, line.size - 1);
    }
    return line;
}

void config_diagnostics_add(struct config_diagnostics *diagnostics,
                            const struct config_remark *remark)
{
    const struct config_place *place = &remark->place;
    struct arena *arena = diagnostics->arena;
    struct item *item;

    diagnostics->errors += remark->severity == CONFIG_ERROR ? 1 : 0;
    if (diagnostics->count > CONFIG_DIAGNOSTICS) {
        return;
    }
    item = new_item(diagnostics);
    *item = (struct item){.source = UINT32_MAX, .sequence = (uint32_t)diagnostics->count};
    item->shown.severity = remark->severity;
    item->shown.file = arena_span(arena, remark->file);
    if (diagnostics->count > CONFIG_DIAGNOSTICS) {
        item->shown.message = SPAN("too many errors: the rest is not shown");
        return;
    }
    item->source = place->line == 0 ? UINT32_MAX : place->source;
    item->shown.line = place->line;
    item->shown.column = place->column;
    item->shown.width = place->width;
    item->shown.source = arena_span(arena, line_at(remark->bytes, place));
    item->shown.message = arena_span(arena, remark->message);
    item->shown.hint = arena_span(arena, remark->hint);
}

static int compare_numbers(uint32_t a, uint32_t b)
{
    return (a > b) - (a < b);
}

static int compare_items(const void *a, const void *b)
{
    const struct item *left = a, *right = b;
    int order = compare_numbers(left->source, right->source);

    order = order != 0 ? order : compare_numbers(left->shown.line, right->shown.line);
    order = order != 0 ? order : compare_numbers(left->shown.column, right->shown.column);
    return order != 0 ? order : compare_numbers(left->sequence, right->sequence);
}

void config_diagnostics_sort(struct config_diagnostics *diagnostics)
{
    if (diagnostics->count > 1) {
        qsort(diagnostics->items, diagnostics->count, sizeof(*diagnostics->items), compare_items);
    }
}

/* ---- Written for a person ---- */

/* Octets of the UTF-8 character at the front that a terminal may see; 0: show something else. */
static size_t visible_size(struct span text)
{
    uint8_t first = text.data[0];
    size_t size = first < 0x80 ? 1 : first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;

    if (size == 1) {
        return first >= ' ' && first <= '~' ? 1 : 0;
    }
    if (size > text.size || !text_is_utf8(span_first(text, size))) {
        return 0;
    }
    return first == 0xc2 && text.data[1] < 0xa0 ? 0 : size; /* C1 controls */
}

/* What is in a file never reaches the terminal as a control character. */
static void write_visible(struct buffer *out, struct span text)
{
    while (text.size > 0) {
        size_t size = visible_size(text);

        if (text.data[0] == '\t') {
            (void)buffer_byte(out, '\t');
        } else if (size == 0) {
            (void)buffer_byte(out, '?');
        } else {
            (void)buffer_append(out, span_first(text, size));
        }
        text = span_from(text, size == 0 ? 1 : size);
    }
}

/* As wide as what stands above it: tabs stay tabs, a character of several octets is one blank. */
static void write_padding(struct buffer *out, struct span above)
{
    while (above.size > 0) {
        size_t size = visible_size(above);

        (void)buffer_byte(out, above.data[0] == '\t' ? '\t' : ' ');
        above = span_from(above, size == 0 ? 1 : size);
    }
}

static void write_caret(const struct config_diagnostic *shown, struct buffer *out)
{
    struct span marked = span_first(span_from(shown->source, shown->column - 1), shown->width);

    write_padding(out, span_first(shown->source, shown->column - 1));
    (void)buffer_byte(out, '^');
    for (size_t i = 1; i < marked.size; i++) {
        if (marked.data[i] < 0x80 || marked.data[i] > HIGHEST_PART) {
            (void)buffer_byte(out, '~');
        }
    }
}

static void write_one(const struct config_diagnostic *shown, struct buffer *out)
{
    write_visible(out, shown->file);
    if (shown->line > 0) {
        (void)buffer_format(out, ":%u:%u", shown->line, shown->column);
    }
    (void)buffer_text(out, shown->severity == CONFIG_ERROR ? ": error: " : ": warning: ");
    write_visible(out, shown->message);
    (void)buffer_byte(out, '\n');
    if (shown->source.size > 0) {
        (void)buffer_format(out, "%5u | ", shown->line);
        write_visible(out, shown->source);
        (void)buffer_text(out, "\n      | ");
        write_caret(shown, out);
    } else if (shown->hint.size > 0) {
        (void)buffer_text(out, "      |");
    } else {
        return;
    }
    if (shown->hint.size > 0) {
        (void)buffer_byte(out, ' ');
        write_visible(out, shown->hint);
    }
    (void)buffer_byte(out, '\n');
}

void config_diagnostics_write(const struct config_diagnostics *diagnostics, struct buffer *out)
{
    for (size_t i = 0; i < diagnostics->count; i++) {
        write_one(&diagnostics->items[i].shown, out);
    }
}
