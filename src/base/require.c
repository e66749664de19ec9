#include "base/require.h"

#include <stdio.h>
#include <stdlib.h>

_Noreturn void require_failed(const char *condition, const char *file, int line)
{
    fprintf(stderr, "%s:%d: require failed: %s\n", file, line, condition);
    abort();
}

_Noreturn void require_memory_failed(void)
{
    fputs("out of memory\n", stderr);
    abort();
}
