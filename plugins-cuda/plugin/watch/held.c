// SPDX-License-Identifier: GPL-2.0-only
#include "plugin/watch/held.h"

#include <errno.h>
#include <stddef.h>
#include <unistd.h>

#include "plugin/watch/watcher_message.h"

static struct {
	int number, fd; /* in criu, and here; 0: none */
} held[WATCHER_MAX_HELD];

int ccr__held_add(int number, int fd)
{
	size_t i = 0;

	if (fd < 0)
		return -EMFILE;
	while (i < WATCHER_MAX_HELD && held[i].fd)
		i++;
	if (i == WATCHER_MAX_HELD) {
		close(fd);
		return -EMFILE;
	}
	held[i].number = number;
	held[i].fd = fd;
	return 0;
}

void ccr__held_close(int number)
{
	for (size_t i = 0; i < WATCHER_MAX_HELD; i++)
		if (held[i].fd && held[i].number == number) {
			close(held[i].fd);
			held[i].fd = 0;
		}
}
