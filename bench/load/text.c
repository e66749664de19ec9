#include "load/text.h"

#include <ctype.h>
#include <math.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOST_SIZE 256

static unsigned suffix_shift(char suffix)
{
    switch (suffix) {
    case 'k':
        return 10;
    case 'm':
        return 20;
    case 'g':
        return 30;
    default:
        return 0;
    }
}

bool load_text_number(const char *text, uint64_t max, uint64_t *ret_number)
{
    if (!isdigit((unsigned char)text[0])) {
        return false;
    }
    char *end = NULL;
    uint64_t number = strtoull(text, &end, 10);
    unsigned shift = suffix_shift((char)tolower((unsigned char)*end));
    end += shift > 0 ? 1 : 0;
    if (*end != '\0' || number > max >> shift) {
        return false;
    }
    *ret_number = number << shift;
    return true;
}

bool load_text_decimal(const char *text, double max, double *ret_number)
{
    char *end = NULL;
    double number = strtod(text, &end);
    if (end == text || *end != '\0' || !isfinite(number) || number < 0 || number > max) {
        return false;
    }
    *ret_number = number;
    return true;
}

void load_text_set_port(struct load_address *address, uint16_t port)
{
    if (address->address.ss_family == AF_INET6) {
        ((struct sockaddr_in6 *)&address->address)->sin6_port = htons(port);
    } else {
        ((struct sockaddr_in *)&address->address)->sin_port = htons(port);
    }
}

uint16_t load_text_port(const struct load_address *address)
{
    return ntohs(address->address.ss_family == AF_INET6
                     ? ((const struct sockaddr_in6 *)&address->address)->sin6_port
                     : ((const struct sockaddr_in *)&address->address)->sin_port);
}

static bool find_host(const char *host, struct load_address *ret_address)
{
    struct addrinfo *found = NULL;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    if (getaddrinfo(host, NULL, &hints, &found) != 0) {
        return false;
    }
    memcpy(&ret_address->address, found->ai_addr, found->ai_addrlen);
    ret_address->size = found->ai_addrlen;
    freeaddrinfo(found);
    return true;
}

/* "PORT" or, if `ret_last` is there, "PORT-PORT". */
static bool parse_ports(const char *text, uint16_t *ret_first, uint16_t *ret_last)
{
    char copy[16];
    if (strlen(text) >= sizeof copy) {
        return false;
    }
    memcpy(copy, text, strlen(text) + 1);
    char *dash = strchr(copy, '-');
    uint64_t first = 0;
    uint64_t last = 0;
    if (dash != NULL) {
        *dash = '\0';
    }
    if (!load_text_number(copy, UINT16_MAX, &first) || (dash != NULL && ret_last == NULL) ||
        (dash != NULL && !load_text_number(dash + 1, UINT16_MAX, &last))) {
        return false;
    }
    last = dash != NULL ? last : first;
    if (last < first) {
        return false;
    }
    *ret_first = (uint16_t)first;
    if (ret_last != NULL) {
        *ret_last = (uint16_t)last;
    }
    return true;
}

bool load_text_address(const char *text, struct load_address *ret_address, uint16_t *ret_last_port)
{
    const char *colon = strrchr(text, ':');
    char host[HOST_SIZE];
    if (colon == NULL || (size_t)(colon - text) >= sizeof host) {
        return false;
    }
    size_t size = (size_t)(colon - text);
    if (size >= 2 && text[0] == '[' && text[size - 1] == ']') {
        text++;
        size -= 2;
    }
    memcpy(host, text, size);
    host[size] = '\0';
    uint16_t port = 0;
    struct load_address address = {0};
    if (!parse_ports(colon + 1, &port, ret_last_port) || !find_host(host, &address)) {
        return false;
    }
    load_text_set_port(&address, port);
    *ret_address = address;
    return true;
}

void load_text_digits(char *at, uint64_t number, unsigned width)
{
    for (unsigned i = width; i-- > 0;) {
        at[i] = (char)('0' + number % 10);
        number /= 10;
    }
}

void load_text_die(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("load: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(2);
}
