// SPDX-License-Identifier: MIT
/* Host memory of every kind, for tests of what a dump does to it (--kinds). */
#ifndef CCR_WORKLOAD_KINDS_H
#define CCR_WORKLOAD_KINDS_H

#include <stddef.h>
#include <stdint.h>

#define KIND_BYTES (2u << 20) /* of most kinds */

/* Before any fork: 0, or -1 with errno. A kind that this kernel does not have is left out. */
int kinds_make(void);
/* In process `role` (0: the first, n: its nth child), after the forks: 0 or -1 with errno. */
int kinds_start(int role);
/* «ok rounds=N NAME=ADDRESS …» when every byte is what it was, or «error kinds NAME: wrong data».
 */
void kinds_answer(char *reply, size_t size);
/* Overwrites «plain», so that the next answer is an error. */
void kinds_change(void);
/* As a compiler at run time does with memory it has: 0 or -1 with errno. */
int kinds_make_executable(void);

#endif
