// SPDX-License-Identifier: GPL-2.0-only
/*
 * Only criu's main thread may trace, so it resumes and stops the restore threads
 * and makes all system calls in the tasks. It waits for others meanwhile: threads
 * that fill host memory, and one process for each driver call, because the driver
 * restores several processes at the same time; or the pool, for what the driver hands over.
 */
#include "plugin/restore_tree.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "plugin/device/device.h"
#include "plugin/task/account.h"
#include "plugin/threads/queue.h"
#include "plugin/watch/watcher_link.h"

#define POLL_MS 5 /* for restore threads that a signal has stopped: no descriptor tells */
/* A member that is being filled has open files, and a thread with our system calls. */
#define MAX_FILLING 16

struct tree {
	struct member *members;
	size_t nr, nr_filling, nr_ready;
	bool has_moved; /* a member is in another phase */
	struct restore_failure *failure;
};

static int fail(const struct tree *tree, const struct member *member, const char *call,
		const char *error, int ret)
{
	*tree->failure = (struct restore_failure){member->task, call, error};
	return ret;
}

static int fail_host(const struct tree *tree, const struct member *member, int ret)
{
	return fail(tree, member, "restore of its host memory", strerror(-ret), ret);
}

/* The program that has started criu may try again without late memory. */
static void note_late(const struct member *member)
{
	ccr_status_add(&ccr__plugin.status, "{\"event\":\"late_failed\",\"pid\":%d}",
		       member->task->pid);
}

/* The driver may pin memory that nobody could know of; to pin late memory fails. */
static int fail_driver(const struct tree *tree, const struct member *member, const char *call,
		       CUresult result)
{
	static char error[192];

	if (!member->host || !ccr__host_memory_is_late(member->host))
		return fail(tree, member, call, ccr_cuda_error_name(result), -EIO);
	note_late(member);
	snprintf(error, sizeof(error),
		 "%s, while a part of its host memory was still being filled; if it succeeds with "
		 "CRIU_CUDA_LATE_MEMORY=0, please report it",
		 ccr_cuda_error_name(result));
	return fail(tree, member, call, error, -EIO);
}

static void move(struct tree *tree, struct member *member, enum member_phase phase)
{
	tree->nr_filling += phase == MEMBER_FILLING;
	tree->nr_filling -= member->phase == MEMBER_FILLING;
	tree->nr_ready += phase == MEMBER_READY;
	tree->has_moved = true;
	member->phase = phase;
}

/* ---- one member ---- */

static int begin_to_fill(struct tree *tree, struct member *member)
{
	int ret;

	if (!member->host) {
		move(tree, member, MEMBER_FILLED);
		return 0;
	}
	if (tree->nr_filling == MAX_FILLING)
		return 0;
	ret = ccr__host_memory_fill(member->host, !member->task->is_plain);
	if (ret)
		return fail_host(tree, member, ret);
	move(tree, member, MEMBER_FILLING);
	return 0;
}

static int end_filling(struct tree *tree, struct member *member)
{
	int ret;

	if (!ccr__host_memory_is_filled(member->host))
		return 0;
	ret = ccr__host_memory_filled(member->host);
	if (ret)
		return fail_host(tree, member, ret);
	move(tree, member, MEMBER_FILLED);
	return 0;
}

static int begin_to_raise(struct tree *tree, struct member *member)
{
	const struct task *task = member->task;
	int ret;

	if (task->is_plain) {
		move(tree, member, MEMBER_RAISED);
		return 0;
	}
	member->seat = ccr__driver_seat_take();
	if (!member->seat)
		return 0;
	member->private_bytes = ccr__account_private(task->pid);
	ret = ccr__restore_thread_resume(&member->thread, task->restore_tid);
	if (ret)
		return fail(tree, member, "resume of the restore thread", strerror(-ret), ret);
	ret = ccr__storage_restore_begin(member->task, &member->storage);
	if (ret)
		return fail(tree, member, "restore from its GPU image", strerror(-ret), ret);
	move(tree, member, MEMBER_STORED);
	return 0;
}

/* The driver may wait for late memory that never comes. */
static int check_late(const struct tree *tree, const struct member *member)
{
	const int ret = member->host ? ccr__host_memory_failure(member->host) : 0;

	if (!ret)
		return 0;
	note_late(member);
	return fail_host(tree, member, ret);
}

static int end_storage(struct tree *tree, struct member *member)
{
	const char *call = NULL;
	CUresult result = CUDA_SUCCESS;
	const int ret = check_late(tree, member);

	if (ret)
		return ret;
	if (member->storage && !ccr__storage_restore_is_done(member->storage))
		return 0;
	if (member->storage)
		result = ccr__storage_restore_end(member->storage, &call);
	member->storage = NULL;
	if (result != CUDA_SUCCESS)
		return fail_driver(tree, member, call, result);
	ccr__raise_begin(&member->raise, member->task, CU_PROCESS_STATE_RUNNING,
			 member->seat->worker);
	move(tree, member, MEMBER_RAISING);
	return 0;
}

static int end_raising(struct tree *tree, struct member *member)
{
	const struct raise *raise = &member->raise;
	struct task *task = member->task;
	uint64_t left;
	int ret;

	ret = check_late(tree, member);
	if (ret)
		return ret;
	if (!ccr__raise_is_done(&member->raise, 0))
		return 0;
	left = ccr__account_private(task->pid);
	task->memory.driver_bytes = member->private_bytes > left ? member->private_bytes - left : 0;
	ret = ccr__restore_thread_stop(&member->thread);
	member->seat->is_taken = false;
	if (raise->result != CUDA_SUCCESS)
		return fail_driver(tree, member, raise->name, raise->result);
	if (ret)
		return fail(tree, member, "stop of the restore thread", strerror(-ret), ret);
	move(tree, member, MEMBER_RAISED);
	return 0;
}

static int attach(struct tree *tree, struct member *member)
{
	const double start = ccr__now_ms();
	struct task *task = member->task;
	const int ret = ccr__memory_attach(task);

	if (task->operation)
		ccr_status_span(&ccr__plugin.status, task->pid, "plugin", "connection to the pool",
				start, ccr__now_ms());
	return ret ? fail(tree, member, "attach of its device memory", strerror(-ret), ret) : 0;
}

static int complete(struct tree *tree, struct member *member)
{
	int ret;

	if (member->host && !ccr__host_memory_is_complete(member->host))
		return 0;
	ret = ccr__host_memory_close(member->host, true);
	member->host = NULL;
	if (ret)
		return fail_host(tree, member, ret);
	if (!member->task->is_plain)
		ret = attach(tree, member);
	if (!ret)
		move(tree, member, MEMBER_READY);
	return ret;
}

/* Does what can be done without waiting: one member gets as far as it can before the next one
 * begins, because the first one takes longest. */
static int advance(struct tree *tree, struct member *member)
{
	enum member_phase before;
	int ret;

	static int (*const steps[])(struct tree * tree, struct member * member) = {
		[MEMBER_NEW] = begin_to_fill,	  [MEMBER_FILLING] = end_filling,
		[MEMBER_FILLED] = begin_to_raise, [MEMBER_STORED] = end_storage,
		[MEMBER_RAISING] = end_raising,	  [MEMBER_RAISED] = complete,
	};

	do {
		before = member->phase;
		ret = before == MEMBER_READY ? 0 : steps[before](tree, member);
	} while (!ret && member->phase != before);
	return ret;
}

/* ---- all members ---- */

static void wait_for_one(const struct tree *tree)
{
	struct pollfd pollers[2 + DRIVER_MAX_SEATS] = {{.fd = ccr__work_fd(), .events = POLLIN},
						       {.fd = -1, .events = POLLIN}};
	nfds_t nr = 2;

	for (size_t i = 0; i < tree->nr; i++)
		if (tree->members[i].storage)
			pollers[1].fd = ccr__storage_fd();
		else if (tree->members[i].phase == MEMBER_RAISING)
			pollers[nr++] = (struct pollfd){
				.fd = ccr__driver_call_fd(&tree->members[i].raise.call),
				.events = POLLIN,
			};
	poll(pollers, nr, POLL_MS);
}

/* The watcher holds what must not be closed while the driver works and criu waits. */
static int check_watcher(const struct tree *tree)
{
	const int ret = ccr__watcher_check();

	return ret ? fail(tree, tree->members, "start of another watcher", strerror(-ret), ret) : 0;
}

static int run(struct tree *tree)
{
	int ret = 0;

	while (!ret && tree->nr_ready < tree->nr) {
		tree->has_moved = false;
		ccr__work_clear_fd();
		for (size_t i = 0; !ret && i < tree->nr; i++)
			ret = advance(tree, &tree->members[i]);
		if (!ret && !tree->has_moved) {
			wait_for_one(tree);
			ret = check_watcher(tree);
		}
	}
	return ret;
}

static void open_seats(const struct tree *tree)
{
	size_t nr = 0;

	for (size_t i = 0; i < tree->nr; i++)
		nr += !tree->members[i].task->is_plain;
	ccr__driver_seats_open(nr);
}

int ccr__restore_tree(struct member *members, size_t nr, struct restore_failure *failure)
{
	struct tree tree = {.members = members, .nr = nr, .failure = failure};
	int ret;

	*failure = (struct restore_failure){members->task, "start of its restore", "see the log"};
	open_seats(&tree);
	ret = ccr__work_start();
	if (!ret)
		ret = run(&tree);
	ccr__work_stop();
	for (size_t i = 0; i < nr; i++) {
		ccr__host_memory_close(members[i].host, false);
		members[i].host = NULL;
	}
	if (!ret)
		ccr__driver_seats_close();
	return ret;
}

void ccr__restore_tree_end(struct member *members, size_t nr)
{
	for (size_t i = 0; i < nr; i++) {
		ccr__restore_thread_forget(&members[i].thread);
		ccr__storage_restore_forget(members[i].storage);
	}
	ccr__host_memory_forget();
	ccr__driver_call_abandon_common();
	ccr__driver_seats_close();
}
