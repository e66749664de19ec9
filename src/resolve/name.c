#include "base/ip.h"
#include "base/text.h"
#include "resolve/name-internal.h"

enum { LABEL_SIZE = 63 };

static bool is_label(struct span label)
{
    for (size_t i = 0; i < label.size; i++) {
        uint8_t byte = text_lower(label.data[i]);
        bool fine = (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9') || byte == '-' ||
                    byte == '_';
        if (!fine) {
            return false;
        }
    }
    return label.size > 0 && label.size <= LABEL_SIZE;
}

bool resolve_name_is_usable(struct span name)
{
    struct ip ip;
    if (name.size == 0 || name.size > RESOLVE_NAME_SIZE || ip_parse(name, &ip)) {
        return false;
    }
    bool more = true;
    while (more) {
        struct span label;
        more = span_cut(name, '.', &label, &name);
        if (!is_label(label)) {
            return false;
        }
    }
    return true;
}
