// SPDX-License-Identifier: GPL-2.0-only
#include "plugin/watch/watcher_link.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "plugin/watch/background.h"
#include "plugin/watch/connections.h"
#include "plugin/task/driver_call.h"
#include "plugin/trace/preinit.h"
#include "plugin/task/report.h"
#include "plugin/trace/stuck.h"

/* What the watcher holds: numbers of descriptors of criu. */
static struct {
	int fds[WATCHER_MAX_HELD];
	size_t nr;
} held;

const char *ccr__stage_name(int stage)
{
	return stage == STAGE_RESTORE ? "restore" : "dump";
}

static void announce(void)
{
	ccr_status_add(&ccr__plugin.status, "{\"event\":\"watcher\",\"pid\":%d}",
		       ccr__plugin.watcher_pid);
}

static int start(void)
{
	struct plugin *p = &ccr__plugin;
	const int fd =
		ccr__background_start("cuda-watcher", p->watcher->run, p->stage, &p->watcher_pid);

	if (fd < 0)
		return fd;
	p->watcher_fd = fd;
	p->watcher_has_status = p->status.fd >= 0;
	if (p->watcher_has_status)
		announce();
	return 0;
}

int ccr__watcher_start(int stage)
{
	int ret = ccr__stuck_prepare();

	if (!ret)
		ret = ccr__connections_prepare();
	if (!ret && stage == STAGE_DUMP)
		ret = ccr__guard_create();
	if (ret) {
		ccr_err("cannot prepare the watcher: %s", strerror(-ret));
		return ret;
	}
	ccr__plugin.criu_pid = getpid();
	ret = start();
	if (!ret)
		ccr__preinit_passed();
	return ret;
}

int ccr__begin(int stage)
{
	struct plugin *p = &ccr__plugin;
	char quoted[PATH_MAX];
	int ret;

	if (p->has_begun)
		return 0;
	ret = ccr_status_open(&p->status, p->settings.run_dir, getpid());
	if (ret)
		return ret;
	p->has_begun = true;
	ccr_status_add(&p->status,
		       "{\"event\":\"begin\",\"stage\":\"%s\",\"criu\":%d,\"version\":\"%s\","
		       "\"variant\":\"%s\",\"plugin\":\"%s\"}",
		       ccr__stage_name(stage), getpid(), CCR_VERSION, CCR_VARIANT,
		       ccr_status_quoted(quoted, sizeof(quoted), ccr__plugin_path()));
	ccr__report_origin();
	/* At a restore with a pool, the watcher is not started yet, and announced then. */
	if (p->watcher_fd >= 0)
		announce();
	return 0;
}

/* `fds` has GUARD_FDS for each of the `nr` ids. */
static int give_guards(const pid_t *ids, size_t nr, bool are_threads, const int *guard_fds)
{
	struct watcher_message message = {
		.kind = WATCHER_GUARD, .nr = nr, .guards.are_threads = are_threads};
	int fds[WATCHER_SLOTS];

	memcpy(message.guards.ids, ids, nr * sizeof(*ids));
	ccr__watcher_no_fds(fds);
	memcpy(fds + WATCHER_GUARD_FD, guard_fds, nr * GUARD_FDS * sizeof(int));
	return ccr__watcher_ask(&message, fds);
}

static int give_guard(pid_t id, bool is_thread, const int guard_fds[GUARD_FDS])
{
	return give_guards(&id, 1, is_thread, guard_fds);
}

static int send_task(const struct task *task)
{
	struct watcher_message message = {.kind = WATCHER_TRACK, .task = *task};
	struct plugin *p = &ccr__plugin;
	int fds[WATCHER_SLOTS], ret;

	ccr__watcher_no_fds(fds);
	p->watcher->fds(fds);
	fds[WATCHER_STATUS_FD] = p->watcher_has_status ? -1 : p->status.fd;
	fds[WATCHER_DRIVER_FD] = task->is_plain ? -1 : ccr__driver_call_pidfd(task->worker);
	ret = ccr__watcher_send(&message, fds);
	if (ret)
		return ret;
	p->watcher_has_status |= p->status.fd >= 0;
	p->watcher->fds_passed();
	return 0;
}

static int send_injected(const struct injected *list, size_t nr)
{
	struct watcher_message message = {.kind = WATCHER_INJECTED, .nr = nr};
	int fds[WATCHER_SLOTS];

	memcpy(message.injected, list, nr * sizeof(*list));
	ccr__watcher_no_fds(fds);
	return ccr__watcher_send(&message, fds);
}

static int send_one_injected(const struct injected *one)
{
	return send_injected(one, 1);
}

/* `fd` -1: without a descriptor. */
static int ask(struct watcher_message message, int fd)
{
	int fds[WATCHER_SLOTS];

	ccr__watcher_no_fds(fds);
	fds[WATCHER_GUARD_FD] = fd;
	return ccr__watcher_ask(&message, fds);
}

static int give_held(int fd)
{
	return ask((struct watcher_message){.kind = WATCHER_HOLD, .held = fd}, fd);
}

/* The watcher was killed: another one takes its place, and gets what it had and knew. */
static int replace(void)
{
	int ret;

	ccr_warn("the watcher %d has ended, another one is started", ccr__plugin.watcher_pid);
	close(ccr__plugin.watcher_fd);
	ccr__plugin.watcher_fd = -1;
	ret = start();
	for (const struct task *task = ccr__plugin.tasks; !ret && task; task = task->next)
		ret = send_task(task);
	if (!ret)
		ret = ccr__guard_for_each(give_guard);
	if (!ret)
		ret = ccr__injected_for_each(0, send_one_injected);
	for (size_t i = 0; !ret && i < held.nr; i++)
		ret = give_held(held.fds[i]);
	return ret;
}

/* After a message that did not arrive. Returns 0 when a new watcher has all that it said. */
static int replace_after(int ret)
{
	return ret == -EPIPE || ret == -ECONNRESET ? replace() : ret;
}

int ccr__watcher_check(void)
{
	struct pollfd poller = {.fd = ccr__plugin.watcher_fd};

	return poll(&poller, 1, 0) > 0 ? replace() : 0;
}

static int add_guards(const pid_t *ids, size_t nr, bool are_threads)
{
	int fds[WATCHER_MAX_THREADS * GUARD_FDS], ret = 0;
	pid_t added[WATCHER_MAX_THREADS];
	size_t nr_added = 0;

	for (size_t i = 0; ret >= 0 && i < nr; i++) {
		ret = ccr__guard_add(ids[i], are_threads, fds + nr_added * GUARD_FDS);
		if (ret > 0)
			added[nr_added++] = ids[i];
	}
	if (ret >= 0)
		ret = nr_added ? replace_after(give_guards(added, nr_added, are_threads, fds)) : 0;
	if (!ret)
		return 0;
	if (ret == -EMFILE)
		ccr_err("cannot guard %d: criu's limit of open files is enough for %zu processes "
			"with CUDA; raise it (ulimit -Hn)",
			ids[0], ccr__guard_room());
	else
		ccr_err("cannot guard %d: %s", ids[0], strerror(-ret));
	while (nr_added)
		ccr__guard_disarm(added[--nr_added], are_threads);
	return ret;
}

int ccr__watcher_prepare_guards(const pid_t *tids, size_t nr)
{
	return add_guards(tids, nr, true);
}

int ccr__watcher_guard(pid_t id, bool is_thread)
{
	const int ret = add_guards(&id, 1, is_thread);

	return ret ? ret : ccr__guard_stop(id, is_thread, true);
}

/*
 * Empty memory must not be run on, and a locked connection fails when it is used. A process that
 * was changed in any way waits for someone who returns it to its prior state; with nobody left it
 * would wait forever.
 */
static bool needs_watcher(const struct task *task)
{
	return ccr__host_is_empty(task) ||
	       (task->is_changed && (!task->is_undone || task->is_awaited));
}

static int guard(const struct task *task)
{
	const bool is_changed = needs_watcher(task);
	/* CRIU has unlocked the connections before a task is rolled back. */
	const bool is_locked = is_changed && task->has_connections && !task->is_undone;
	int ret = is_changed ? add_guards(&task->pid, 1, false) : 0;

	if (!ret)
		ret = ccr__guard_stop(task->pid, false, ccr__host_is_empty(task) || is_locked);
	return ret ? ret : ccr__guard_kill(task->pid, is_changed);
}

int ccr__watcher_track(const struct task *task)
{
	int ret = guard(task);

	if (ret)
		return ret;
	ret = replace_after(send_task(task));
	if (ret)
		ccr_err("cannot reach the watcher: %s", strerror(-ret));
	return ret;
}

int ccr__watcher_injected(const struct injected *list, size_t nr)
{
	int ret = 0;

	if (ccr__plugin.watcher_fd < 0)
		return 0;
	for (size_t i = 0; !ret && i < nr; i++)
		ret = ccr__injected_note(&list[i]);
	return ret ? ret : replace_after(send_injected(list, nr));
}

void ccr__watcher_injection_ended(const pid_t *tids, size_t nr)
{
	struct watcher_message message = {.kind = WATCHER_INJECTION_ENDED, .nr = nr};
	int fds[WATCHER_SLOTS];

	for (size_t i = 0; i < nr; i++)
		ccr__injected_forget(tids[i]);
	memcpy(message.threads, tids, nr * sizeof(*tids));
	ccr__watcher_no_fds(fds);
	if (ccr__plugin.watcher_fd >= 0)
		ccr__watcher_send(&message, fds);
	for (size_t i = 0; i < nr; i++)
		ccr__guard_disarm(tids[i], true);
}

static void forget_held(int fd)
{
	for (size_t i = 0; i < held.nr; i++)
		if (held.fds[i] == fd)
			held.fds[i] = held.fds[--held.nr];
}

int ccr__watcher_hold(int fd)
{
	int ret;

	if (held.nr == WATCHER_MAX_HELD)
		return -EMFILE;
	held.fds[held.nr++] = fd; /* for one that takes its place, too */
	ret = replace_after(give_held(fd));
	if (ret)
		forget_held(fd);
	return ret;
}

int ccr__watcher_let_go(int fd)
{
	forget_held(fd);
	return replace_after(ask((struct watcher_message){.kind = WATCHER_LET_GO, .held = fd}, -1));
}

static int ask_for_second(void)
{
	return ask((struct watcher_message){.kind = WATCHER_SECOND}, -1);
}

void ccr__watcher_start_second(void)
{
	const struct task *task = ccr__plugin.tasks;
	int ret;

	while (task && !needs_watcher(task))
		task = task->next;
	if (!task)
		return;
	ret = ask_for_second();
	if (ret && !replace_after(ret))
		ret = ask_for_second();
	if (ret)
		ccr_warn("there is no second watcher: %s", strerror(-ret));
}

void ccr__watcher_release(void)
{
	struct watcher_message message = {.kind = WATCHER_RELEASE};
	int fds[WATCHER_SLOTS], ret;

	if (ccr__plugin.watcher_fd < 0)
		return;
	ccr__watcher_no_fds(fds);
	ret = ccr__watcher_send(&message, fds);
	/* At a restore, it may have found out itself and ended. */
	if (ret && ccr__plugin.stage == STAGE_DUMP && !replace_after(ret))
		ccr__watcher_send(&message, fds);
}
