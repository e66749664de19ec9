/*
 * What master and worker say to each other: one message, one word, over a pair of sockets.
 *
 *   worker to master: READY, RELOAD? and STOP? (asked for over the control socket), RELOADED,
 * REFUSED master to worker: RELOAD with a descriptor for each listener, STOP
 *
 * Each side treats the other's end of file as a wish to stop.
 */
#ifndef PROGRAM_LINK_H
#define PROGRAM_LINK_H

enum program_link_word {
    PROGRAM_LINK_READY = 'r',
    PROGRAM_LINK_ASK_RELOAD = 'a',
    PROGRAM_LINK_ASK_STOP = 'q',
    PROGRAM_LINK_RELOADED = 'd',
    PROGRAM_LINK_REFUSED = 'n',
    PROGRAM_LINK_RELOAD = 'l',
    PROGRAM_LINK_STOP = 's',
};

enum {
    PROGRAM_LINK_LISTENERS = 64, /* descriptors of one message */
    PROGRAM_LINK_SOCKET = 3,     /* the worker's end */
    PROGRAM_LINK_FIRST_LISTENER = 4,
};

/* Sends one word. False if the other side is gone. */
_Bool program_link_send(int socket, enum program_link_word word, const int *descriptors,
                        unsigned long count);

#endif
