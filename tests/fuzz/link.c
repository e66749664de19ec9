/*
 * What master and worker say to each other: messages of any size with any number of descriptors,
 * over a real pair of sockets.
 *
 * What is sent by program_link_send arrives as it was sent. Whatever else arrives, no descriptor is
 * lost: those that are handed out are open and close on exec, the others are closed.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz/fuzz.h"
#include "program/link.h"
#include "system/process.h"

enum { ROUNDS = 16, MOST = 253, TAKEN = 64 };

/* As somebody would who does not keep to the protocol. */
static bool send_raw(int socket, struct span bytes, int descriptor, size_t count)
{
    union {
        char bytes[CMSG_SPACE(MOST * sizeof(int))];
        struct cmsghdr header;
    } control = {0};
    struct iovec part = {.iov_base = (void *)(uintptr_t)bytes.data, .iov_len = bytes.size};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    int all[MOST];

    for (size_t i = 0; i < count; i++) {
        all[i] = descriptor;
    }
    if (count > 0) {
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(count * sizeof(int));
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(count * sizeof(int));
        memcpy(CMSG_DATA(&control.header), all, count * sizeof(int));
    }
    return sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0;
}

/* How many came; -errno. */
static int take(int socket, uint8_t *ret_word)
{
    int descriptors[TAKEN];
    size_t count = 0;
    int got = process_receive(socket, ret_word, 1, descriptors, TAKEN, &count);

    require(got <= 1 && count <= TAKEN);
    for (size_t i = 0; got >= 0 && i < count; i++) {
        require((fcntl(descriptors[i], F_GETFD) & FD_CLOEXEC) != 0);
        require(close(descriptors[i]) == 0);
    }
    return got < 0 ? got : (int)count;
}

static void round_trip(struct span *source, const int *sockets, int descriptor)
{
    uint8_t shape = fuzz_next(source), word = fuzz_next(source), got = 0;
    size_t count = fuzz_next(source);

    if (shape % 2 == 0) {
        int all[TAKEN];
        count %= TAKEN + 1;
        for (size_t i = 0; i < TAKEN; i++) {
            all[i] = descriptor;
        }
        require(program_link_send(sockets[0], (enum program_link_word)word, all, count));
        require(take(sockets[1], &got) == (int)count && got == word);
        return;
    }
    struct span bytes = span_first(*source, shape / 16);
    *source = span_from(*source, bytes.size);
    count %= MOST + 1;
    if (bytes.size > 0 && send_raw(sockets[0], bytes, descriptor, count)) {
        int result = take(sockets[1], &got);
        bool fits = bytes.size == 1 && count <= TAKEN;
        require(result == (fits ? (int)count : -EMSGSIZE));
        require(!fits || got == bytes.data[0]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span source = span_of(data, size);
    int sockets[2], ends[2];
    uint8_t byte = 0;

    require(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) == 0);
    require(pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
    for (int i = 0; i < ROUNDS && source.size > 0; i++) {
        round_trip(&source, sockets, ends[1]);
    }
    close(ends[1]);
    require(read(ends[0], &byte, 1) == 0); /* all copies are gone */
    close(sockets[0]);
    require(take(sockets[1], &byte) == 0); /* the end of it */
    close(sockets[1]);
    close(ends[0]);
    return 0;
}
