// SPDX-License-Identifier: MIT
/*
 * Out: the memory of a process changes hands at once, and goes to files while
 * criu goes on. Back in: the process takes it as soon as criu let it go, which
 * needs a thread that waits.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "pool/session/session.h"
#include "pool/images/residents.h"

/* The service thread answers the bell at once, unless the machine is very busy. */
#define RING_TIMEOUT_MS 30000

/* The number of a process in our PID namespace: -1 for one that has ended, 0 for one above. */
static pid_t pid_of(int pidfd)
{
	char path[64], line[128];
	pid_t pid = -1;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file) && sscanf(line, "Pid: %d", &pid) != 1)
		;
	if (file)
		fclose(file);
	return pid;
}

struct part *part_new(struct session *session, pid_t pid)
{
	struct part *part = calloc(1, sizeof(*part));

	if (!part)
		return NULL;
	part->session = session;
	part->pid = pid;
	part->peer_pid = pid_of(session->pidfd);
	part->door.listener = -1;
	pthread_mutex_init(&part->evicting, NULL);
	part->pidfd = part->peer_pid > 0 ? fcntl(session->pidfd, F_DUPFD_CLOEXEC, 0) : -1;
	if (part->pidfd < 0 || service_door_open(&part->door)) {
		if (part->pidfd >= 0)
			close(part->pidfd);
		free(part);
		return NULL;
	}
	part->next = session->parts;
	session->parts = part;
	return part;
}

struct part *part_find(const struct session *session, uint32_t operation)
{
	struct part *part = session->parts;

	while (part && part->door.operation != operation)
		part = part->next;
	return part;
}

/* --- out --- */

static void send_done(const struct part *part, enum ccr_message_type type, int result,
		      const char *text, double copy_ms)
{
	struct ccr_message message;

	ccr_message_init(&message, type, part->door.operation);
	message.result = result;
	message.done.nr_handles = part->list.nr;
	message.done.bytes = part->list.bytes;
	message.done.wait_ms = part->wait_ms;
	message.done.copy_ms = copy_ms;
	snprintf(message.done.text, sizeof(message.done.text), "%s", text);
	ccr_message_send(part->session->socket, &message, NULL, 0);
}

static void evict_ended(struct part *part, int result, const char *error, double copy_ms)
{
	ccr_status_add(&part->session->status,
		       "{\"event\":\"evict\",\"pid\":%d,\"result\":%d,\"allocations\":%zu,"
		       "\"bytes\":%llu,\"wait_ms\":%.3f,\"copy_ms\":%.3f}",
		       part->pid, result, part->list.nr, (unsigned long long)part->list.bytes,
		       part->wait_ms, copy_ms);
	atomic_fetch_add(result ? &pool.counters.failures : &pool.counters.dumps, 1);
	if (!result)
		atomic_fetch_add(&pool.counters.bytes_saved, part->list.bytes);
	send_done(part, CCR_MSG_OP_RESULT, result, error, copy_ms);
}

static void saved(void *argument, int result, const char *error, double ms)
{
	struct part *part = argument;

	/* Not before criu was told that the memory is held, or why it is not. */
	pthread_mutex_lock(&part->evicting);
	part->is_saved = !result;
	if (!part->is_refused)
		evict_ended(part, result, error, ms);
	pthread_mutex_unlock(&part->evicting);
}

/* The list is as it was received, and nobody else uses it. */
static void end_save(struct part *part)
{
	if (part->save)
		save_end(part->save);
	part->save = NULL;
	held_unmap_all(&part->list);
}

/*
 * Once the application was told that its memory is held, nothing is refused
 * any more: what goes wrong from there on is the result of the save.
 */
static int take_over(struct part *part, int connection, const struct ccr_message *request,
		     char *error, size_t size)
{
	const struct copy_options options = {.streams = request->op.streams,
					     .chunk_mb = request->op.chunk_mb,
					     .verify = request->op.verify,
					     .io = request->op.io};
	const uint32_t operation = part->door.operation;
	/* It exports while the driver starts here. */
	int ret = service_begin_evict(connection, operation, request->op.timeout_ms);

	if (!ret)
		ret = pool_device_wait(error, size);
	if (!ret)
		ret = service_collect(connection, request->op.timeout_ms, part->session->vault,
				      &part->list, error, size);
	if (ret) {
		service_abort(connection, operation, ret, error);
		return ret;
	}
	ret = service_hold(connection, operation);
	if (ret)
		return ret;
	/* It unmaps while we map. */
	if (!held_map_all(&part->list))
		part->save = save_begin(part->session->images_dir, part->image_pid, &part->list,
					&options, saved, part);
	return service_finish_evict(connection, error, size);
}

static int take_out(struct part *part, const struct ccr_message *request, char *error, size_t size)
{
	struct ccr_message hello;
	int connection, ret;

	connection =
		service_accept(&part->door, part->peer_pid, part->pidfd, RING_TIMEOUT_MS, &hello);
	if (connection < 0) {
		snprintf(error, size, "the service thread of %d does not answer: %s", part->pid,
			 strerror(-connection));
		return connection;
	}
	ret = take_over(part, connection, request, error, size);
	close(connection);
	return ret;
}

void part_evict(struct part *part, const struct ccr_message *request)
{
	const double start = now_ms();
	char error[256] = "";
	int ret;

	part->image_pid = request->op.image_pid;
	session_reply(part->session, CCR_MSG_OP_READY, part->door.operation, 0, NULL);
	pthread_mutex_lock(&part->evicting);
	ret = take_out(part, request, error, sizeof(error));
	part->wait_ms = now_ms() - start;
	part->is_refused = ret;
	if (!ret)
		send_done(part, CCR_MSG_OP_HELD, 0, "", 0);
	pthread_mutex_unlock(&part->evicting);
	if (ret) { /* the application kept its own references */
		end_save(part);
		held_free_all(&part->list);
		evict_ended(part, ret, error, 0);
		return;
	}
	if (!part->save)
		evict_ended(part, -EIO, "the memory cannot be mapped for the copy", 0);
}

void part_commit(struct part *part, bool hold)
{
	if (part->has_thread)
		return;
	end_save(part);
	if (hold && part->is_saved) {
		const int ret = store_hold(part->session->images_dir, part->image_pid, &part->list);

		if (ret)
			ccr_warn("the memory of %d is not held: %s", part->pid, strerror(-ret));
		else
			atomic_fetch_add(&pool.counters.holds, 1);
	}
	held_free_all(&part->list);
}

/* --- back in --- */

/* Hands over what is ready, waits for more, until all of it was sent or the load failed. */
static int hand_over(struct part *part, int connection, char *error, size_t size)
{
	const uint32_t operation = part->door.operation;
	struct load *load = part->load;
	ssize_t end;
	int ret = 0;

	if (!load)
		return service_send_held(connection, operation, part->list.entries, part->list.nr);
	for (size_t sent = 0; !ret && sent < load->list.nr; sent = end) {
		end = load_take_ready(load, sent);
		if (end < 0) {
			snprintf(error, size, "%s", load->error);
			return end;
		}
		ret = service_send_held(connection, operation, &load->list.entries[sent],
					end - sent);
	}
	return ret;
}

static int give(struct part *part, char *error, size_t size)
{
	struct ccr_message hello;
	int connection, ret;

	/* No time limit: criu decides when the application runs; its end ends the wait. */
	connection = service_accept(&part->door, part->peer_pid, part->pidfd, -1, &hello);
	if (connection < 0) {
		snprintf(error, size, "the process ended before it took its memory");
		return connection;
	}
	if (hello.hello.state == CCR_SERVICE_EVICTED) {
		ret = service_begin_attach(connection, part->door.operation, part->mode);
		if (!ret)
			ret = hand_over(part, connection, error, size);
		if (!ret)
			ret = service_finish_attach(connection, part->door.operation, error, size);
	} else {
		ret = part->is_again ? 0 : -EALREADY;
		service_abort(connection, part->door.operation, ret, "memory is there");
		if (ret)
			snprintf(error, size, "the process has its memory already");
	}
	close(connection);
	if (ret && !*error)
		snprintf(error, size, "the application's service thread: %s",
			 ret == -EPIPE ? "connection lost" : strerror(-ret));
	return ret;
}

static void count_give(const struct part *part, int ret)
{
	if (ret) {
		atomic_fetch_add(&pool.counters.failures, 1);
		return;
	}
	atomic_fetch_add(part->load ? &pool.counters.restores : &pool.counters.roll_backs, 1);
	atomic_fetch_add(&pool.counters.bytes_attached,
			 part->load ? part->load->list.bytes : part->list.bytes);
}

static void *give_thread(void *argument)
{
	struct part *part = argument;
	const double start = now_ms();
	char error[384] = "", quoted[768];
	const int ret = give(part, error, sizeof(error));

	if (ret) {
		/* Its gate is closed and its memory incomplete: it must not go on. */
		ccr_err("%d: %s; the process is killed", part->pid, error);
		syscall(SYS_pidfd_send_signal, part->pidfd, SIGKILL, NULL, 0);
	}
	count_give(part, ret);
	ccr_status_add(&part->session->status,
		       "{\"event\":\"attach\",\"pid\":%d,\"result\":%d,\"ms\":%.3f,\"load_ms\":%."
		       "3f,\"reason\":\"%s\"}",
		       part->pid, ret, now_ms() - start, part->load ? part->load->ms : 0.0,
		       ccr_status_quoted(quoted, sizeof(quoted), error));
	service_door_close(&part->door);
	held_free_all(&part->list);
	part->given = ret;
	session_reply(part->session, CCR_MSG_OP_GIVEN, part->door.operation, ret, error);
	atomic_store(&part->is_given, true);
	return NULL;
}

void part_again(const struct part *part)
{
	if (atomic_load(&part->is_given))
		session_reply(part->session, CCR_MSG_OP_GIVEN, part->door.operation, part->given,
			      "");
}

int part_give(struct part *part)
{
	int ret;

	end_save(part);
	ret = pthread_create(&part->thread, NULL, give_thread, part);
	part->has_thread = !ret;
	return -ret;
}

void part_desert(const struct part *part)
{
	if (part->has_thread || part->load || !part->list.nr)
		return;
	ccr_err("%d: criu ended and left its memory here; the process is killed", part->pid);
	syscall(SYS_pidfd_send_signal, part->pidfd, SIGKILL, NULL, 0);
}

void part_free(struct part *part)
{
	if (part->has_thread)
		pthread_join(part->thread, NULL);
	end_save(part);
	service_door_close(&part->door);
	held_free_all(&part->list);
	load_put(part->load);
	pthread_mutex_destroy(&part->evicting);
	close(part->pidfd);
	free(part);
}
