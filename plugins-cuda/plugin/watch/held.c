// SPDX-License-Identifier: GPL-2.0-only
#include "plugin/watch/held.h"

#include <errno.h>
#include <stddef.h>
#include <sys/socket.h>
#include <unistd.h>

#include "plugin/watch/watcher_link.h"

static struct {
	int number, fd; /* in criu, and here; 0: none */
} held[WATCHER_MAX_HELD];

void ccr__held_add(int link, int number, int fd)
{
	size_t i = 0;
	int answer;

	while (i < WATCHER_MAX_HELD && held[i].fd)
		i++;
	answer = fd < 0 || i == WATCHER_MAX_HELD ? -EMFILE : 0;
	if (!answer) {
		held[i].number = number;
		held[i].fd = fd;
	} else if (fd >= 0) {
		close(fd);
	}
	send(link, &answer, sizeof(answer), MSG_NOSIGNAL);
}

void ccr__held_close(int link, int number)
{
	const int answer = 0;

	for (size_t i = 0; i < WATCHER_MAX_HELD; i++)
		if (held[i].fd && held[i].number == number) {
			close(held[i].fd);
			held[i].fd = 0;
		}
	send(link, &answer, sizeof(answer), MSG_NOSIGNAL);
}
