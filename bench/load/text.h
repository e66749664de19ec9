/*
 * text: what the command line says, as numbers, sizes and addresses. Nothing is repaired: what is
 * not wholly understood is refused.
 */
#ifndef LOAD_TEXT_H
#define LOAD_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct load_address {
    struct sockaddr_storage address;
    socklen_t size;
};

/* A whole number of at most `max`, with k, m or g for 1024, its square or its cube. */
bool load_text_number(const char *text, uint64_t max, uint64_t *ret_number);

/* A number not below 0 and not above `max`, in decimals: "0.5". */
bool load_text_decimal(const char *text, double max, double *ret_number);

/* HOST:PORT or [HOST]:PORT; with `ret_last_port` also HOST:PORT-PORT. The first address of a name.
 */
bool load_text_address(const char *text, struct load_address *ret_address, uint16_t *ret_last_port);

/* The same address with another port. */
void load_text_set_port(struct load_address *address, uint16_t port);
uint16_t load_text_port(const struct load_address *address);

/* Writes exactly `width` digits, with zeros in front, the lowest ones if it does not fit. */
void load_text_digits(char *at, uint64_t number, unsigned width);

/* Ends the program with a complaint on stderr. */
_Noreturn void load_text_die(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
