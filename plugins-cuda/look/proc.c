// SPDX-License-Identifier: MIT
#include "look/proc.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void *ccr__list_add(struct list *list, size_t size)
{
	if (list->count == list->room) {
		const size_t room = list->room ? list->room * 2 : 16;
		void *items = realloc(list->items, room * size);

		if (!items)
			return NULL;
		list->items = items;
		list->room = room;
	}
	return memset((char *)list->items + list->count++ * size, 0, size);
}

DIR *ccr__dir_open(int root, const char *path)
{
	const int fd = openat(root, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (!dir && fd >= 0)
		close(fd);
	return dir;
}
