// SPDX-License-Identifier: GPL-2.0-only
/*
 * The background process for driver calls, and the calls that it makes for criu or
 * the watcher, each of which has its own. It is a process, not a thread: a thread
 * inside a call that never returns would keep criu from ending, and would share
 * criu's descriptors, which guard.c does not allow. It outlives criu until the
 * call in progress has returned.
 */
#include "plugin/task/driver_call.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/process.h"
#include "plugin/watch/background.h"
#include "plugin/task/restore_thread.h"

#define POLL_MS 5
/* How often to look whether the target process has ended, which not every call notices. */
#define LOOK_MS 500
#define IDLE_MS 1000

/* A function is at the same address in both processes, because one is a fork of the other. */
struct request {
	CUresult (*function)(pid_t pid, int *answer);
	pid_t pid;
};

struct reply {
	CUresult result;
	int answer;
};

struct driver_worker {
	int fd; /* -1: there is no process */
	int pidfd;
	bool is_busy;
	double deadline, next_look;
	bool was_dying;
	struct reply reply; /* of the last call */
};

/* Makes all calls that name no other. */
static struct driver_worker common = {.fd = -1, .pidfd = -1};

static struct driver_worker *worker_of(const struct driver_call *call)
{
	return call->worker ? call->worker : &common;
}

static bool is_alone(int fd)
{
	struct pollfd poller = {.fd = fd};

	return poll(&poller, 1, 0) > 0 && poller.revents & POLLHUP;
}

/* Waits for a request. At a restore criu may stay as the parent of what it restored, so the process
 * ends when there is none for a while; a caller that comes later starts another. */
static bool receive(int stage, int fd, struct request *request)
{
	struct pollfd poller = {.fd = fd, .events = POLLIN};

	if (stage == STAGE_RESTORE && !poll(&poller, 1, IDLE_MS))
		shutdown(fd, SHUT_RD); /* no request can arrive unnoticed from here on */
	return recv(fd, request, sizeof(*request), 0) == sizeof(*request);
}

static void serve(int stage, int fd)
{
	struct request request;

	close(ccr__plugin.status.fd);
	close(ccr__plugin.preinit_fd);
	/* What a caller asked for just before it died must not begin afterwards. */
	while (receive(stage, fd, &request) && !is_alone(fd)) {
		struct reply reply = {.answer = 0};

		reply.result = request.function(request.pid, &reply.answer);
		if (send(fd, &reply, sizeof(reply), MSG_NOSIGNAL) != sizeof(reply))
			return;
	}
}

static void forget_worker(struct driver_worker *worker)
{
	if (worker->fd >= 0)
		close(worker->fd);
	if (worker->pidfd >= 0)
		close(worker->pidfd);
	worker->fd = worker->pidfd = -1;
	worker->is_busy = false;
}

void ccr__driver_call_forget(void)
{
	common.fd = common.pidfd = -1;
	common.is_busy = false;
}

static int start(struct driver_worker *worker)
{
	pid_t pid;

	if (worker->fd >= 0)
		return 0;
	worker->fd = ccr__background_start("cuda-driver", serve, ccr__plugin.stage, &pid);
	if (worker->fd < 0)
		return worker->fd;
	worker->pidfd = syscall(SYS_pidfd_open, pid, 0);
	return 0;
}

int ccr__driver_call_start(void)
{
	return start(&common);
}

struct driver_worker *ccr__driver_worker_new(void)
{
	struct driver_worker *worker = calloc(1, sizeof(*worker));

	if (!worker)
		return NULL;
	worker->fd = worker->pidfd = -1;
	if (!start(worker))
		return worker;
	free(worker);
	return NULL;
}

void ccr__driver_worker_end(struct driver_worker *worker)
{
	if (worker->is_busy && worker->pidfd >= 0)
		syscall(SYS_pidfd_send_signal, worker->pidfd, SIGKILL, NULL, 0);
	forget_worker(worker);
	free(worker);
}

void ccr__driver_call_abandon_common(void)
{
	if (!common.is_busy)
		return;
	if (common.pidfd >= 0)
		syscall(SYS_pidfd_send_signal, common.pidfd, SIGKILL, NULL, 0);
	forget_worker(&common);
}

static void abandon(const struct driver_call *call, CUresult result, const char *why)
{
	struct driver_worker *worker = worker_of(call);

	ccr_err("a driver call on %d does not return and is abandoned: %s", call->pid, why);
	if (worker->pidfd >= 0)
		syscall(SYS_pidfd_send_signal, worker->pidfd, SIGKILL, NULL, 0);
	forget_worker(worker);
	worker->reply = (struct reply){.result = result};
}

int ccr__driver_call_begin(struct driver_call *call)
{
	const struct request request = {call->function, call->pid};
	struct driver_worker *worker = worker_of(call);
	const double now = ccr__now_ms();
	int ret;

	for (int tries = 0;; tries++) {
		ret = start(worker);
		if (ret)
			return ret;
		if (send(worker->fd, &request, sizeof(request), MSG_NOSIGNAL) == sizeof(request))
			break;
		ret = -errno;
		forget_worker(worker); /* it was killed while it had nothing to do */
		if (tries)
			return ret;
	}
	worker->is_busy = true;
	worker->was_dying = false;
	worker->next_look = now + LOOK_MS;
	worker->deadline =
		now + (call->timeout_ms ? call->timeout_ms : ccr__plugin.settings.step_timeout_ms);
	return 0;
}

static void take_reply(const struct driver_call *call)
{
	struct driver_worker *worker = worker_of(call);

	if (recv(worker->fd, &worker->reply, sizeof(worker->reply), 0) == sizeof(worker->reply))
		worker->is_busy = false;
	else
		abandon(call, CCR_DRIVER_CALL_LOST, "the process that made it has ended");
}

static void look(const struct driver_call *call)
{
	struct driver_worker *worker = worker_of(call);
	const double now = ccr__now_ms();

	if (now > worker->deadline) {
		abandon(call, CUDA_ERROR_TIMEOUT, "its time limit has passed");
	} else if (now > worker->next_look) {
		const bool is_dying = ccr_is_dying(call->pid);

		if (is_dying && worker->was_dying)
			abandon(call, CUDA_ERROR_OPERATING_SYSTEM, "the process has ended");
		worker->was_dying = is_dying;
		worker->next_look = now + LOOK_MS;
	}
}

bool ccr__driver_call_is_done(const struct driver_call *call, int timeout_ms)
{
	struct driver_worker *worker = worker_of(call);
	struct pollfd poller = {.fd = worker->fd, .events = POLLIN};

	ccr__restore_thread_keep_running();
	if (!worker->is_busy)
		return true;
	if (poll(&poller, 1, timeout_ms) > 0)
		take_reply(call);
	else
		look(call);
	return !worker->is_busy;
}

int ccr__driver_call_fd(const struct driver_call *call)
{
	const struct driver_worker *worker = worker_of(call);

	return worker->is_busy ? worker->fd : -1;
}

void ccr__driver_call_end(struct driver_call *call)
{
	const struct driver_worker *worker = worker_of(call);

	while (!ccr__driver_call_is_done(call, POLL_MS))
		;
	call->result = worker->reply.result;
	call->answer = worker->reply.answer;
}

CUresult ccr__driver_call(CUresult (*function)(pid_t pid, int *answer), pid_t pid, int *answer)
{
	struct driver_call call = {.function = function, .pid = pid};

	if (ccr__driver_call_begin(&call))
		return CCR_DRIVER_CALL_LOST;
	ccr__driver_call_end(&call);
	if (answer)
		*answer = call.answer;
	return call.result;
}

CUresult ccr__driver_checkpoint(pid_t pid, int *unused)
{
	return ccr__plugin.driver.cuCheckpointProcessCheckpoint(pid, NULL);
}

int ccr__driver_call_pidfd(const struct driver_worker *worker)
{
	return worker ? worker->pidfd : common.pidfd;
}

/* ---- calls for several tasks ---- */

static struct {
	struct driver_seat list[DRIVER_MAX_SEATS];
	size_t nr;
} seats;

void ccr__driver_seats_open(size_t nr)
{
	seats.nr = 0;
	while (seats.nr < nr && seats.nr < DRIVER_MAX_SEATS) {
		struct driver_worker *worker = seats.nr ? ccr__driver_worker_new() : NULL;

		if (seats.nr && !worker)
			break;
		seats.list[seats.nr++] = (struct driver_seat){.worker = worker};
	}
}

struct driver_seat *ccr__driver_seat_take(void)
{
	for (size_t i = 0; i < seats.nr; i++) {
		if (seats.list[i].is_taken)
			continue;
		seats.list[i].is_taken = true;
		return &seats.list[i];
	}
	return NULL;
}

void ccr__driver_seats_close(void)
{
	while (seats.nr)
		if (seats.list[--seats.nr].worker)
			ccr__driver_worker_end(seats.list[seats.nr].worker);
}
