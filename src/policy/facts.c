#include "policy/facts.h"

#include <string.h>

#include "base/text.h"

void policy_facts_set_reverse(struct policy_facts *facts, struct span name)
{
    facts->reverse_size = 0;
    if (name.size == 0) {
        facts->reverse = POLICY_ABSENT;
        return;
    }
    if (name.size > UINT8_MAX) {
        facts->reverse = POLICY_FAILED;
        return;
    }
    for (size_t i = 0; i < name.size; i++) {
        facts->reverse_name[i] = text_lower(name.data[i]);
    }
    facts->reverse_size = (uint8_t)name.size;
    facts->reverse = POLICY_KNOWN;
}

void policy_facts_forget_limits(struct policy_facts *facts)
{
    memset(facts->limit, 0, sizeof(facts->limit));
}
