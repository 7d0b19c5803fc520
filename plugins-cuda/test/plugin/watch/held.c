// SPDX-License-Identifier: GPL-2.0-only
/* What the watcher holds is closed when criu says so, whatever its number is. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <unistd.h>

#include "plugin/watch/held.h"
#include "plugin/watch/watcher_message.h"
#include "test/check.h"

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

int main(void)
{
	int fds[2];

	/* The watcher has closed all that it inherited, so the first that it receives may be 0. */
	close(0);
	CHECK(!pipe(fds) && fds[0] == 0);
	CHECK(!ccr__held_add(70, fds[0]));
	CHECK(!ccr__held_add(71, fds[1]));
	ccr__held_close(70);
	CHECK(!is_open(fds[0]) && is_open(fds[1]));
	ccr__held_close(71);
	CHECK(!is_open(fds[1]));

	CHECK(ccr__held_add(72, -1) == -EMFILE);
	for (int i = 0; i < WATCHER_MAX_HELD; i++)
		CHECK(!ccr__held_add(i, dup(1)));
	fds[0] = dup(1);
	CHECK(ccr__held_add(72, fds[0]) == -EMFILE && !is_open(fds[0]));
	for (int i = 0; i < WATCHER_MAX_HELD; i++)
		ccr__held_close(i);
	CHECK(!ccr__held_add(72, dup(1)));
	return failures ? 1 : 0;
}
