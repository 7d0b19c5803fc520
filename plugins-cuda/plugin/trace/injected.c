// SPDX-License-Identifier: GPL-2.0-only
#include "plugin/trace/injected.h"

#include <errno.h>
#include <stddef.h>

static struct {
	struct injected list[MAX_INJECTED];
	size_t nr;
} threads;

void ccr__injected_forget(pid_t tid)
{
	for (size_t i = 0; i < threads.nr; i++)
		if (threads.list[i].tid == tid)
			threads.list[i--] = threads.list[--threads.nr];
}

int ccr__injected_note(const struct injected *one)
{
	ccr__injected_forget(one->tid);
	if (threads.nr == MAX_INJECTED)
		return -EMFILE;
	threads.list[threads.nr++] = *one;
	return 0;
}

void ccr__injected_clear(void)
{
	threads.nr = 0;
}

bool ccr__injected_any(pid_t pid)
{
	for (size_t i = 0; i < threads.nr; i++)
		if (threads.list[i].pid == pid)
			return true;
	return false;
}

int ccr__injected_for_each(pid_t pid, int (*act)(const struct injected *one))
{
	int ret = 0;

	for (size_t i = 0; !ret && i < threads.nr; i++)
		if (!pid || threads.list[i].pid == pid)
			ret = act(&threads.list[i]);
	return ret;
}
