// SPDX-License-Identifier: GPL-2.0-only
#include "plugin/watch/held.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <unistd.h>

#include "plugin/watch/watcher_message.h"

static struct {
	bool is_used;
	int number, fd; /* in criu, and here, where any number may be free */
} held[WATCHER_MAX_HELD];

int ccr__held_add(int number, int fd)
{
	size_t i = 0;

	if (fd < 0)
		return -EMFILE;
	while (i < WATCHER_MAX_HELD && held[i].is_used)
		i++;
	if (i == WATCHER_MAX_HELD) {
		close(fd);
		return -EMFILE;
	}
	held[i].is_used = true;
	held[i].number = number;
	held[i].fd = fd;
	return 0;
}

void ccr__held_close(int number)
{
	for (size_t i = 0; i < WATCHER_MAX_HELD; i++)
		if (held[i].is_used && held[i].number == number) {
			close(held[i].fd);
			held[i].is_used = false;
		}
}
