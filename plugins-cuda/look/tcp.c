// SPDX-License-Identifier: MIT
#include "look/state.h"

#include <stdio.h>
#include <stdlib.h>

#define TCP_ESTABLISHED 1 /* linux/tcp_states.h is not for programs */

static int by_number(const void *a, const void *b)
{
	const uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

	return (left > right) - (left < right);
}

static size_t count_in(struct state *s, const char *file)
{
	const struct list *inodes = &s->sockets.inodes;
	char *rest, *line;
	size_t count = 0;

	/* the sockets that the first process sees: those of its network namespace */
	if (ccr__text_read(&s->text, TEXT_ALL, s->root, "proc/%d/net/%s", s->request->pid, file))
		return 0;
	rest = s->text.data;
	while ((line = ccr__text_line(&rest))) {
		unsigned long inode;
		unsigned int state;
		uint64_t key;

		if (sscanf(line, "%*s %*s %*s %x %*s %*s %*s %*s %*s %lu", &state, &inode) != 2 ||
		    state != TCP_ESTABLISHED)
			continue;
		key = inode;
		count += !!bsearch(&key, inodes->items, inodes->count, sizeof(key), by_number);
	}
	return count;
}

size_t ccr__look_connections(struct state *s)
{
	struct list *inodes = &s->sockets.inodes;

	if (!inodes->count)
		return 0;
	qsort(inodes->items, inodes->count, sizeof(uint64_t), by_number);
	return count_in(s, "tcp") + count_in(s, "tcp6");
}
