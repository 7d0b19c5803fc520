// SPDX-License-Identifier: GPL-2.0-only
/* For parts of the plugin that are tested without a criu that may die: nobody watches. */
#include "test/plugin/no_watcher.h"

#include <errno.h>
#include <unistd.h>

#include "plugin/watch/guard.h"
#include "plugin/watch/watcher_link.h"

struct to_watcher to_watcher;

int ccr__watcher_guard(pid_t id, bool is_thread)
{
	to_watcher.messages++;
	return 0;
}

int ccr__watcher_prepare_guards(const pid_t *tids, size_t nr)
{
	to_watcher.messages++;
	return 0;
}

int ccr__watcher_injected(const struct injected *injected, size_t nr)
{
	to_watcher.messages++;
	to_watcher.injected += nr;
	return 0;
}

void ccr__watcher_injection_ended(const pid_t *tids, size_t nr)
{
	to_watcher.messages++;
}

int ccr__watcher_hold(int fd)
{
	to_watcher.messages++;
	if (to_watcher.is_stuck)
		to_watcher.held = dup(fd);
	return 0;
}

int ccr__watcher_let_go(int fd)
{
	to_watcher.messages++;
	return to_watcher.is_stuck ? -ETIMEDOUT : 0;
}
