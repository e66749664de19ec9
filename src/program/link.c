#include "program/link.h"

#include <stdint.h>

#include "system/process.h"

_Bool program_link_send(int socket, enum program_link_word word, const int *descriptors,
                        unsigned long count)
{
    uint8_t byte = (uint8_t)word;

    return process_send(socket, &byte, 1, descriptors, count) == 1;
}
