// SPDX-License-Identifier: GPL-2.0-only
/*
 * The driver's checkpoint maps as much memory as it has to save and populates
 * it, page by page in one thread, before it copies: half of its time. Meanwhile
 * the task's main thread, which criu has stopped, is made to populate the same
 * memory from its end, until the two meet. MADV_POPULATE_WRITE changes no byte,
 * so it does not matter who is first. Linux tells nobody that a task has mapped
 * something: the mappings are looked at again and again until the driver is
 * done.
 */
#include "plugin/populate.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "plugin/inject.h"

#define LOOK_EVERY_MS 5
#define MIN_BYTES     (32ull << 20) /* less is not worth the look */
#define PIECE	      (64ull << 20) /* between two questions whether the driver is done */

#ifndef MADV_POPULATE_WRITE /* Linux 5.14 */
#define MADV_POPULATE_WRITE 23
#endif

struct driver_call {
	pid_t pid;
	CUresult result;
	int done[2]; /* a pipe whose writing end is closed when the call has returned */
};

static void *call_driver(void *data)
{
	struct driver_call *call = data;

	call->result = ccr__plugin.driver.cuCheckpointProcessCheckpoint(call->pid, NULL);
	close(call->done[1]);
	return NULL;
}

static bool is_done(const struct driver_call *call, int timeout_ms)
{
	struct pollfd poller = {.fd = call->done[0], .events = POLLIN};

	return poll(&poller, 1, timeout_ms) > 0;
}

/* Large private anonymous memory that is not known yet. */
static bool find_new(pid_t pid, const struct remap_ranges *known, struct remap_range *found)
{
	unsigned long start, end, inode;
	char path[32], line[512], perms[5];
	bool is_found = false;
	FILE *maps;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	maps = fopen(path, "re");
	while (maps && !is_found && fgets(line, sizeof(line), maps)) {
		int at = 0;

		if (sscanf(line, "%lx-%lx %4s %*x %*x:%*x %lu %n", &start, &end, perms, &inode,
			   &at) == 4 &&
		    !inode && !line[at] && !strcmp(perms, "rw-p"))
			is_found = ccr__remap_find_new(known, start, end, MIN_BYTES, found);
	}
	if (maps)
		fclose(maps);
	return is_found;
}

/* 0, or -errno: there is no sense in going on. */
static int advise(struct injection *in, uint64_t address, uint64_t size, int advice)
{
	const uint64_t arguments[6] = {address, size, advice};
	int64_t result;
	const int ret = ccr__inject_call(in, &result, SYS_madvise, arguments);

	return ret ? ret : (int)result;
}

static int populate(struct injection *in, const struct driver_call *call,
		    const struct remap_range *range, uint64_t *populated)
{
	int ret = 0;

	for (uint64_t end = range->end; !ret && end > range->start && !is_done(call, 0);) {
		const uint64_t size = end - range->start < PIECE ? end - range->start : PIECE;

		end -= size;
		ret = advise(in, end, size, MADV_POPULATE_WRITE);
		if (!ret)
			*populated += size;
	}
	return ret;
}

static void accompany(struct injection *in, const struct driver_call *call,
		      struct remap_ranges *known)
{
	struct remap_range range;
	uint64_t populated = 0;
	int ret = 0;

	while (!ret && !is_done(call, LOOK_EVERY_MS)) {
		while (!ret && find_new(call->pid, known, &range)) {
			ret = populate(in, call, &range, &populated);
			if (!ret)
				ret = ccr__remap_add_range(known, &range);
		}
	}
	if (ret)
		ccr_warn("%d: populate: %s: the driver goes on alone", call->pid, strerror(-ret));
	if (populated)
		ccr_info("%d: %llu bytes populated ahead of the driver", call->pid,
			 (unsigned long long)populated);
}

/* False when the driver was not called. */
static bool call_accompanied(struct driver_call *call, struct injection *in,
			     struct remap_ranges *known)
{
	sigset_t all, before;
	pthread_t thread;
	int ret;

	if (pipe2(call->done, O_CLOEXEC))
		return false;
	/* Criu's signal handlers are for its main thread. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	ret = pthread_create(&thread, NULL, call_driver, call);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (!ret) {
		accompany(in, call, known);
		pthread_join(thread, NULL);
	} else {
		close(call->done[1]);
	}
	close(call->done[0]);
	return !ret;
}

int ccr__populate_checkpoint(const struct task *task, const struct remap_ranges *before,
			     CUresult *result)
{
	struct driver_call call = {.pid = task->pid};
	struct remap_ranges known = {0};
	struct injection in;
	bool is_called;
	int ret = 0;

	/* The one thread that is not stopped cannot be made to do something else. */
	if (task->restore_tid == task->pid)
		return -ENOTSUP;
	for (size_t i = 0; !ret && i < before->nr; i++)
		ret = ccr__remap_add_range(&known, &before->list[i]);
	if (!ret)
		ret = ccr__inject_begin(&in, task->pid);
	if (ret)
		goto out;
	is_called = call_accompanied(&call, &in, &known);
	ret = ccr__inject_end(&in);
	if (!ret && !is_called)
		ret = -ENOTSUP;
	*result = call.result;
out:
	free(known.list);
	return ret;
}
