// SPDX-License-Identifier: GPL-2.0-only
/*
 * In the watcher: descriptors that stay open when criu is killed, until its processes are dead.
 * criu waits for the answer on `link`: 0 or -errno.
 */
#ifndef CCR_PLUGIN_HELD_H
#define CCR_PLUGIN_HELD_H

/* Takes over `fd`, which has this number in criu; negative: it did not arrive. */
void ccr__held_add(int link, int number, int fd);
/* Closes the one that has this number in criu. */
void ccr__held_close(int link, int number);

#endif
