/*
 * commands: the two halves of `load`. Each takes its words, the first being its own name, and
 * returns the exit status of the program.
 */
#ifndef LOAD_COMMANDS_H
#define LOAD_COMMANDS_H

int load_send(int count, char **words);
int load_sink(int count, char **words);

#endif
