// SPDX-License-Identifier: MIT
/*
 * One run of criu: its requests arrive on one socket, in order. A dump is
 * served in the session's own thread, since criu waits for it; giving memory
 * back and attaching wait for the application, which runs only after criu let
 * it go, so each has a thread.
 */
#include "pool/pool.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "pool/copy.h"

/* The service thread answers the bell at once, unless the machine is very busy. */
#define RING_TIMEOUT_MS 30000

/* Memory of one process, on its way out or back in. */
struct part {
	struct part *next;
	struct session *session;
	pid_t pid;
	int pidfd;
	struct service_door door;
	struct held_list list; /* evicted memory, kept until commit or roll back */
	struct load *load;     /* or an image being loaded */
	enum ccr_attach_mode mode;
	pthread_t thread;
	bool has_thread;
};

struct session {
	int socket;
	struct ccr_status status;
	struct part *parts;
	struct load *loads;
};

static double now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1e3 + now.tv_nsec / 1e6;
}

static void reply(const struct session *s, enum ccr_message_type type, uint32_t operation,
		  int result, const char *text)
{
	struct ccr_message message;

	ccr_message_init(&message, type, operation);
	message.result = result;
	if (text)
		snprintf(message.done.text, sizeof(message.done.text), "%s", text);
	ccr_message_send(s->socket, &message, NULL, 0);
}

static struct copy_options options_of(const struct ccr_message *m)
{
	return (struct copy_options){.streams = m->op.streams,
				     .chunk_mb = m->op.chunk_mb,
				     .verify = m->op.verify,
				     .io = m->op.io};
}

static struct part *part_new(struct session *s, pid_t pid)
{
	struct part *part = calloc(1, sizeof(*part));

	if (!part)
		return NULL;
	part->session = s;
	part->pid = pid;
	part->door.listener = -1;
	part->pidfd = syscall(SYS_pidfd_open, pid, 0);
	if (part->pidfd < 0 || service_door_open(&part->door)) {
		if (part->pidfd >= 0)
			close(part->pidfd);
		free(part);
		return NULL;
	}
	part->next = s->parts;
	s->parts = part;
	return part;
}

static struct part *part_find(const struct session *s, uint32_t operation)
{
	struct part *part = s->parts;

	while (part && part->door.operation != operation)
		part = part->next;
	return part;
}

/* --- dump --- */

static int evict(struct part *part, const struct ccr_message *request, int images_dir,
		 double *wait_ms, double *copy_ms, char *error, size_t size)
{
	const struct copy_options options = options_of(request);
	const uint32_t operation = part->door.operation;
	struct ccr_message hello;
	const double start = now_ms();
	int connection, ret;

	connection = service_accept(&part->door, part->pid, part->pidfd, RING_TIMEOUT_MS, &hello);
	if (connection < 0) {
		snprintf(error, size, "the service thread of %d does not answer: %s", part->pid,
			 strerror(-connection));
		return connection;
	}
	ret = pool_device_wait(error, size);
	if (!ret)
		ret = service_collect(connection, operation, request->op.timeout_ms, &part->list,
				      error, size);
	if (!ret && held_map_all(&part->list)) {
		ret = -EIO;
		snprintf(error, size, "mapping the allocations: see the log of cuda-poold");
	}
	*wait_ms = now_ms() - start;
	if (!ret)
		ret = copy_save(images_dir, request->op.image_pid, &part->list, &options, error,
				size);
	*copy_ms = now_ms() - start - *wait_ms;
	if (ret)
		service_abort(connection, operation, ret, error);
	else
		ret = service_finish_evict(connection, operation, error, size);
	close(connection);
	held_unmap_all(&part->list);
	return ret;
}

static void op_dump(struct session *s, const struct ccr_message *request, int images_dir)
{
	struct part *part = part_new(s, request->op.pid);
	double wait_ms = 0, copy_ms = 0;
	struct ccr_message done;
	char error[256] = "";

	if (!part) {
		reply(s, CCR_MSG_OP_RESULT, 0, -EIO,
		      "no socket in the run directory, or the process is gone");
		return;
	}
	reply(s, CCR_MSG_OP_READY, part->door.operation, 0, NULL);
	ccr_message_init(&done, CCR_MSG_OP_RESULT, part->door.operation);
	done.result = evict(part, request, images_dir, &wait_ms, &copy_ms, error, sizeof(error));
	done.done.nr_handles = part->list.nr;
	done.done.bytes = part->list.bytes;
	done.done.wait_ms = wait_ms;
	done.done.copy_ms = copy_ms;
	memcpy(done.done.text, error, sizeof(done.done.text) - 1);
	if (done.result)
		held_free_all(&part->list); /* the application kept its own references */
	ccr_status_add(&s->status,
		       "{\"event\":\"evict\",\"pid\":%d,\"result\":%d,\"allocations\":%zu,"
		       "\"bytes\":%llu,\"wait_ms\":%.3f,\"copy_ms\":%.3f}",
		       part->pid, done.result, (size_t)done.done.nr_handles,
		       (unsigned long long)done.done.bytes, wait_ms, copy_ms);
	ccr_message_send(s->socket, &done, NULL, 0);
}

static void op_commit(struct session *s, uint32_t operation)
{
	struct part *part = part_find(s, operation);

	if (part && !part->has_thread)
		held_free_all(&part->list);
}

/* --- back in --- */

/* Hands over what is ready, waits for more, until all of it was sent or the load failed. */
static int hand_over(struct part *part, int connection, char *error, size_t size)
{
	struct load *load = part->load;
	size_t sent = 0;
	int ret = 0;

	if (!load)
		return service_send_held(connection, part->door.operation, part->list.entries,
					 part->list.nr);
	while (!ret && sent < load->list.nr) {
		size_t end;

		pthread_mutex_lock(&load->lock);
		/* In the order of the image: chunks are loaded in that order too. */
		while (!load->ready[sent] && !load->ended)
			pthread_cond_wait(&load->progress, &load->lock);
		if (!load->ready[sent]) {
			ret = load->result ? load->result : -EIO;
			snprintf(error, size, "%s", load->error);
		}
		for (end = sent; end < load->list.nr && load->ready[end]; end++)
			;
		pthread_mutex_unlock(&load->lock);
		if (!ret)
			ret = service_send_held(connection, part->door.operation,
						&load->list.entries[sent], end - sent);
		sent = end;
	}
	return ret;
}

static int give(struct part *part, char *error, size_t size)
{
	struct ccr_message hello;
	int connection, ret;

	/* No time limit: criu decides when the application runs; its end ends the wait. */
	connection = service_accept(&part->door, part->pid, part->pidfd, -1, &hello);
	if (connection < 0) {
		snprintf(error, size, "the process ended before it took its memory");
		return connection;
	}
	if (hello.hello.state != CCR_SERVICE_EVICTED) {
		snprintf(error, size, "the process has its memory already");
		ret = -EALREADY;
	} else {
		ret = service_begin_attach(connection, part->door.operation, part->mode);
	}
	if (!ret)
		ret = hand_over(part, connection, error, size);
	if (!ret)
		ret = service_finish_attach(connection, part->door.operation, error, size);
	close(connection);
	if (ret && !*error)
		snprintf(error, size, "%s", strerror(-ret));
	return ret;
}

static void *give_thread(void *argument)
{
	struct part *part = argument;
	const double start = now_ms();
	char error[256] = "", quoted[512];
	const int ret = give(part, error, sizeof(error));

	if (ret) {
		/* Its gate is closed and its memory incomplete: it must not go on. */
		ccr_err("%d: %s; the process is killed", part->pid, error);
		syscall(SYS_pidfd_send_signal, part->pidfd, SIGKILL, NULL, 0);
	}
	ccr_status_add(&part->session->status,
		       "{\"event\":\"attach\",\"pid\":%d,\"result\":%d,\"ms\":%.3f,\"load_ms\":%."
		       "3f,\"reason\":\"%s\"}",
		       part->pid, ret, now_ms() - start, part->load ? part->load->ms : 0.0,
		       ccr_status_quoted(quoted, sizeof(quoted), error));
	service_door_close(&part->door);
	held_free_all(&part->list);
	return NULL;
}

static int give_in_thread(struct part *part)
{
	const int ret = pthread_create(&part->thread, NULL, give_thread, part);

	part->has_thread = !ret;
	return -ret;
}

static void op_roll_back(struct session *s, const struct ccr_message *request)
{
	struct part *part = part_find(s, request->operation);

	if (!part || part->has_thread)
		return;
	part->mode = CCR_ATTACH_ADOPT;
	give_in_thread(part);
}

/* --- restore --- */

static void op_restore(struct session *s, const struct ccr_message *request, int images_dir)
{
	const struct copy_options options = options_of(request);
	char error[256] = "";
	pid_t *pids = NULL;
	size_t nr = 0;
	int ret = copy_list_images(images_dir, &pids, &nr);

	for (size_t i = 0; !ret && i < nr; i++) {
		struct load *load = load_begin(images_dir, pids[i], &options, error, sizeof(error));

		if (!load) {
			ret = -EIO;
			break;
		}
		load->next = s->loads;
		s->loads = load;
	}
	free(pids);
	reply(s, CCR_MSG_OP_RESULT, 0, ret, *error ? error : strerror(-ret));
}

static void op_attach(struct session *s, const struct ccr_message *request)
{
	struct load *load = s->loads;
	struct part *part;

	while (load && load->image_pid != request->op.image_pid)
		load = load->next;
	part = load ? part_new(s, request->op.pid) : NULL;
	if (part) {
		part->load = load;
		part->mode = request->op.attach_mode;
	}
	if (!part || give_in_thread(part)) {
		reply(s, CCR_MSG_OP_RESULT, 0, -ENOENT, "no GPU image was loaded for this process");
		return;
	}
	reply(s, CCR_MSG_OP_READY, part->door.operation, 0, NULL);
}

/* --- the session --- */

static void serve(struct session *s, const struct ccr_message *request, int images_dir)
{
	switch (request->type) {
	case CCR_MSG_OP_DUMP:
		op_dump(s, request, images_dir);
		break;
	case CCR_MSG_OP_COMMIT:
		op_commit(s, request->operation);
		break;
	case CCR_MSG_OP_ROLL_BACK:
		op_roll_back(s, request);
		break;
	case CCR_MSG_OP_RESTORE:
		op_restore(s, request, images_dir);
		break;
	case CCR_MSG_OP_ATTACH:
		op_attach(s, request);
		break;
	default:
		ccr_err("message %d is no request", request->type);
		reply(s, CCR_MSG_OP_RESULT, request->operation, -EPROTO, "not a request");
	}
}

static void session_end(struct session *s)
{
	while (s->parts) {
		struct part *part = s->parts;

		s->parts = part->next;
		if (part->has_thread)
			pthread_join(part->thread, NULL);
		service_door_close(&part->door);
		held_free_all(&part->list);
		close(part->pidfd);
		free(part);
	}
	while (s->loads) {
		struct load *load = s->loads;

		s->loads = load->next;
		load_free(load);
	}
	ccr_status_close(&s->status);
	close(s->socket);
}

void session_run(int socket)
{
	struct session session = {.socket = socket, .status = {.fd = -1}};
	int fds[CCR_HANDLES_A_MESSAGE], nr_fds;
	struct ccr_message request;
	int ret;

	while (!(ret = ccr_message_receive(socket, &request, fds, &nr_fds, -1))) {
		const int images_dir = nr_fds > 0 ? fds[0] : -1;

		if (nr_fds > 1) {
			ccr_status_close(&session.status);
			session.status.fd = fds[1];
			ccr_status_add(&session.status, "{\"event\":\"pool\",\"pid\":%d}",
				       getpid());
		}
		serve(&session, &request, images_dir);
		if (images_dir >= 0)
			close(images_dir);
	}
	if (ret != -EPIPE)
		ccr_err("session ends: %s", strerror(-ret));
	session_end(&session);
}
