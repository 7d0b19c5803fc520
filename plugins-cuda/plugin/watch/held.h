// SPDX-License-Identifier: GPL-2.0-only
/* In the watcher: descriptors that stay open when criu is killed, until its processes are dead. */
#ifndef CCR_PLUGIN_HELD_H
#define CCR_PLUGIN_HELD_H

/* Takes over `fd`, which has this number in criu; negative: it did not arrive. Returns 0 or -errno.
 */
int ccr__held_add(int number, int fd);
/* Closes the one that has this number in criu. */
void ccr__held_close(int number);

#endif
