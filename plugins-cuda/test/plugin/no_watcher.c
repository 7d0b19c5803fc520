// SPDX-License-Identifier: GPL-2.0-only
/* For parts of the plugin that are tested without a criu that may die: nobody watches. */
#include "plugin/task/guard.h"
#include "plugin/task/watcher_link.h"

int ccr__watcher_guard(pid_t id, bool is_thread)
{
	return 0;
}

int ccr__watcher_injected(const struct injected *injected)
{
	return 0;
}

void ccr__watcher_injection_ended(pid_t tid)
{
}
