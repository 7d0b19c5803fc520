// SPDX-License-Identifier: GPL-2.0-only
/*
 * Only criu's main thread may trace, so it resumes and stops the restore threads
 * and makes all system calls in the tasks. It waits for others meanwhile: threads
 * that copy host memory, and one process for each driver call, because the driver
 * saves several processes at the same time. What the driver hands over to the pool comes first, one
 * task after the other. When something fails, nothing more begins, and what has begun is waited
 * for.
 */
#include "plugin/dump_tree.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#include "plugin/device/device.h"
#include "plugin/host/host.h"
#include "plugin/plugin.h"
#include "plugin/task/account.h"
#include "plugin/task/driver_call.h"
#include "plugin/task/task.h"
#include "plugin/threads/queue.h"

#define POLL_MS 5 /* for restore threads that a signal has stopped: no descriptor tells */

struct member {
	pid_t pid;
	struct task *task; /* NULL: it has no CUDA */
	/* the driver's checkpoint of it: */
	struct restore_thread thread;
	struct driver_call call;
	struct driver_seat *seat; /* while the driver works */
	double start;		  /* of the call */
	uint64_t private_bytes;	  /* before it */
	bool has_begun, is_ready; /* ready: its host memory can be stored */
	bool is_saved;		  /* that has begun */
};

struct dump {
	struct member *list;
	size_t nr, nr_running, nr_saved;
	int result; /* 0, or the first -errno */
};

static void note(struct dump *dump, int ret)
{
	if (!dump->result)
		dump->result = ret;
}

static int begin(struct member *m)
{
	struct task *task = m->task;
	int ret = ccr__host_memory_before(task->pid);

	if (ret)
		return ret;
	m->private_bytes = ccr__account_private(task->pid);
	task->is_changed = true;
	return ccr__dump_resume(task, &m->thread);
}

/* The restore thread is stopped, and what is left to do does not need the driver. */
static int end(struct member *m, CUresult result)
{
	struct task *task = m->task;
	uint64_t after;
	int ret = ccr__dump_stop(task, &m->thread);

	if (!ret)
		ret = ccr__watcher_track(task);
	if (result != CUDA_SUCCESS)
		return -EIO;
	after = ccr__account_private(task->pid);
	task->memory.driver_bytes = after > m->private_bytes ? after - m->private_bytes : 0;
	return ret;
}

/* In the order of the list: those without CUDA come first. */
static bool save_some(struct dump *dump)
{
	bool has_begun = false;

	for (size_t i = 0; !dump->result && i < dump->nr && !ccr__host_memory_is_busy(); i++) {
		struct member *m = &dump->list[i];

		if (!m->is_ready || m->is_saved)
			continue;
		has_begun = m->is_saved = true;
		dump->nr_saved++;
		note(dump, ccr__host_memory_save(m->pid));
	}
	return has_begun;
}

/* ---- by the pool ---- */

/* Returns 1 if the task is to be saved to its host memory, which was not asked for before. */
static int store(struct member *m)
{
	int ret = begin(m), ended;

	if (ret)
		return ret;
	ret = ccr__storage_checkpoint(m->task);
	if (ret > 0)
		ret = ccr__look_without_pool(m->task->pid) ? -EIO : 1;
	ended = end(m, ret < 0 ? CUDA_ERROR_OPERATING_SYSTEM : CUDA_SUCCESS);
	return ended ? ended : ret;
}

static int store_some(struct dump *dump)
{
	int ret = 0;

	for (size_t i = 0; ret >= 0 && i < dump->nr; i++) {
		struct member *m = &dump->list[i];

		if (m->has_begun || !m->task->storage)
			continue;
		save_some(dump); /* those without CUDA, meanwhile */
		ret = store(m);
		m->has_begun = m->is_ready = !ret;
	}
	return ret < 0 ? ret : 0;
}

/* ---- by the driver ---- */

static int call(struct member *m)
{
	int ret;

	m->task->worker = m->seat->worker;
	ret = begin(m);
	if (ret)
		return ret;
	ccr__host_memory_populate(m->task);
	m->call = (struct driver_call){
		.function = ccr__driver_checkpoint, .pid = m->task->pid, .worker = m->seat->worker};
	m->start = ccr__now_ms();
	ret = ccr__driver_call_begin(&m->call);
	if (!ret)
		return 0;
	ccr__host_memory_populate_end(m->task->pid);
	end(m, CUDA_ERROR_UNKNOWN);
	return ret;
}

static void begin_some(struct dump *dump)
{
	for (size_t i = 0; !dump->result && i < dump->nr; i++) {
		struct member *m = &dump->list[i];

		if (m->has_begun)
			continue;
		m->seat = ccr__driver_seat_take();
		if (!m->seat)
			return;
		m->has_begun = true;
		note(dump, call(m));
		if (dump->result) {
			m->task->worker = NULL;
			m->seat = NULL;
			return;
		}
		dump->nr_running++;
	}
}

static int finish(struct member *m)
{
	int ret, populated;

	ccr__driver_call_end(&m->call);
	ccr__task_note(m->task, "checkpoint", m->call.result, ccr__now_ms() - m->start);
	populated = ccr__host_memory_populate_end(m->task->pid);
	ret = end(m, m->call.result);
	m->task->worker = NULL;
	return populated ? populated : ret;
}

static bool finish_some(struct dump *dump)
{
	bool has_finished = false;

	for (size_t i = 0; i < dump->nr; i++) {
		struct member *m = &dump->list[i];

		if (!m->seat || !ccr__driver_call_is_done(&m->call, 0))
			continue;
		note(dump, finish(m));
		m->seat->is_taken = false;
		m->seat = NULL;
		dump->nr_running--;
		has_finished = m->is_ready = true;
	}
	return has_finished;
}

static void wait_for_one(const struct dump *dump)
{
	struct pollfd pollers[1 + DRIVER_MAX_SEATS] = {{.fd = ccr__work_fd(), .events = POLLIN}};
	nfds_t nr = 1;

	for (size_t i = 0; i < dump->nr; i++)
		if (dump->list[i].seat)
			pollers[nr++] = (struct pollfd){
				.fd = ccr__driver_call_fd(&dump->list[i].call), .events = POLLIN};
	poll(pollers, nr, POLL_MS);
}

/* Whether something is left to do. */
static bool is_at_work(const struct dump *dump)
{
	return dump->nr_running || (!dump->result && dump->nr_saved < dump->nr);
}

static int run(struct dump *dump)
{
	note(dump, store_some(dump));
	for (;;) {
		bool has_worked;

		begin_some(dump);
		if (!is_at_work(dump))
			return dump->result;
		ccr__work_clear_fd();
		has_worked = ccr__host_memory_advance();
		note(dump, ccr__host_memory_save_failure());
		has_worked |= finish_some(dump);
		has_worked |= save_some(dump);
		if (!has_worked)
			wait_for_one(dump);
	}
}

/* ---- all of them ---- */

static void add(struct dump *dump, const struct dump_member *member)
{
	const struct task *task = member->task;
	const bool is_ready = !task || task->prior == CU_PROCESS_STATE_CHECKPOINTED;

	dump->list[dump->nr++] = (struct member){.pid = member->pid,
						 .task = member->task,
						 .has_begun = is_ready,
						 .is_ready = is_ready};
}

int ccr__dump_tree(const struct dump_member *members, size_t nr)
{
	struct dump dump = {.list = calloc(nr + 1, sizeof(*dump.list))};
	size_t nr_called = 0;
	int ret = dump.list ? 0 : -ENOMEM;

	for (size_t i = 0; !ret && i < nr; i++)
		if (!members[i].task && ccr__plugin.tasks) /* its tree has CUDA processes */
			add(&dump, &members[i]);
	for (size_t i = 0; !ret && i < nr; i++)
		if (members[i].task)
			add(&dump, &members[i]);
	for (size_t i = 0; i < dump.nr; i++)
		nr_called += !dump.list[i].has_begun;
	ccr__driver_seats_open(nr_called);
	if (!ret)
		ret = ccr__work_start();
	if (!ret)
		ret = run(&dump);
	if (ret)
		ccr__work_stop();
	ret = ccr__host_memory_save_end(ret);
	ccr__work_stop();
	ccr__driver_seats_close();
	free(dump.list);
	return ret;
}
