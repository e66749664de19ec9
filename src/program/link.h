/*
 * What master and worker say to each other: one message, one word, over a pair of sockets.
 *
 *   worker to master: READY, RELOAD? and STOP? (asked for over the control socket), RELOADED,
 *                     REFUSED, ALIVE
 *   master to worker: RELOAD with descriptors, STOP, ALIVE?, ROTATE with the log
 *
 * At its start, and with each RELOAD, the worker gets what it may not open itself: the snapshot of
 * the configuration, the log, and a descriptor for each listener, in this order. Each side treats
 * the other's end of file as a wish to stop.
 */
#ifndef PROGRAM_LINK_H
#define PROGRAM_LINK_H

enum program_link_word {
    PROGRAM_LINK_READY = 'r',
    PROGRAM_LINK_ASK_RELOAD = 'a',
    PROGRAM_LINK_ASK_STOP = 'q',
    PROGRAM_LINK_RELOADED = 'd',
    PROGRAM_LINK_REFUSED = 'n',
    PROGRAM_LINK_ALIVE = 'y',
    PROGRAM_LINK_RELOAD = 'l',
    PROGRAM_LINK_STOP = 's',
    PROGRAM_LINK_ROTATE = 'o',
    PROGRAM_LINK_ASK_ALIVE = 'w',
};

enum program_link_place { /* of descriptors in one message */
                          PROGRAM_LINK_SNAPSHOT,
                          PROGRAM_LINK_LOG,
                          PROGRAM_LINK_FIRST_LISTENER,
};

enum {
    PROGRAM_LINK_LISTENERS = 64,
    PROGRAM_LINK_DESCRIPTORS = PROGRAM_LINK_FIRST_LISTENER + PROGRAM_LINK_LISTENERS,
    PROGRAM_LINK_SOCKET = 3, /* the worker's end */
    PROGRAM_LINK_PASSED = 4, /* where the descriptors of its start begin */
};

/* Sends one word. False if the other side is gone. */
_Bool program_link_send(int socket, enum program_link_word word, const int *descriptors,
                        unsigned long count);

#endif
