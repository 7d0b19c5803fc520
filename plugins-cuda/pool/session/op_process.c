// SPDX-License-Identifier: MIT
/*
 * One process of an operation. On a dump the pool takes over its memory at once
 * and writes it to files while criu continues; op_process_give.c returns it.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "pool/images/prefetch.h"
#include "pool/session/op_process.h"
#include "pool/session/pidfd.h"
#include "pool/images/residents.h"
#include "common/protocol/message.h"
#include "common/protocol/unix_socket.h"

void op_process_connect(struct op_process *process)
{
	int *const given = &process->session->connection;

	if (*given < 0 || !ccr_socket_is_seqpacket(*given))
		return;
	if (process->connection >= 0)
		close(process->connection);
	process->connection = *given;
	*given = -1;
}

void op_process_disconnect(struct op_process *process)
{
	if (process->connection >= 0)
		close(process->connection);
	process->connection = -1;
}

void op_process_open(struct op_process *process)
{
	op_process_disconnect(process);
	process->is_member = process->is_quiet = false;
}

struct op_process *op_process_new(struct session *session, const struct ccr_message *request)
{
	struct op_process *process = calloc(1, sizeof(*process));

	if (!process)
		return NULL;
	process->session = session;
	process->image_pid = request->op.image_pid;
	process->number = request->operation;
	process->pid = request->op.pid;
	process->own_pid = pidfd_pid(session->pidfd);
	process->connection = -1;
	process->pidfd = process->own_pid >= 0 ? fcntl(session->pidfd, F_DUPFD_CLOEXEC, 0) : -1;
	op_process_connect(process);
	if (process->pidfd < 0 || process->connection < 0 ||
	    op_process_find(session, process->number)) {
		if (process->pidfd >= 0)
			close(process->pidfd);
		op_process_disconnect(process);
		free(process);
		return NULL;
	}
	pthread_mutex_init(&process->evicting, NULL);
	process->next = session->processes;
	session->processes = process;
	return process;
}

void op_process_list(struct op_process *process, const struct ccr_message *request,
		     enum operation_state state)
{
	struct operation *operation = &process->operation;

	if (!operation->is_listed)
		*operation = (struct operation){
			.is_restore = process->load,
			.number = process->number,
			.pid = process->own_pid,
			.image_pid = process->load ? process->load->image_pid : process->image_pid,
			.criu = request->op.criu,
			.progress = process->load ? &process->load->copied : &process->copied,
		};
	operation_begin(operation, state);
}

struct op_process *op_process_find(const struct session *session, uint32_t operation)
{
	struct op_process *process = session->processes;

	while (process && process->number != operation)
		process = process->next;
	return process;
}

/* --- dump --- */

struct copy_options session_copy_options(const struct ccr_message *request)
{
	struct copy_options options = {
		.streams = request->op.streams,
		.chunk_mb = request->op.chunk_mb,
		.verify = request->op.verify,
		.io = request->op.io,
		.sync = request->op.sync,
		.mode = request->op.attach_mode,
		.map = request->op.map,
		.earlier = -1,
	};

	memcpy(options.checkpoint, request->op.checkpoint, sizeof(options.checkpoint));
	return options;
}

static void send_done(const struct op_process *process, enum ccr_message_type type, int result,
		      const char *text, double copy_ms)
{
	struct ccr_message message;

	ccr_message_init(&message, type, process->number);
	message.result = result;
	message.done.nr_handles = process->list.nr;
	message.done.bytes = process->list.bytes;
	message.done.wait_ms = process->wait_ms;
	message.done.copy_ms = copy_ms;
	snprintf(message.done.text, sizeof(message.done.text), "%s", text);
	ccr_message_send(process->session->socket, &message, NULL, 0);
}

static void evict_ended(struct op_process *process, int result, const char *error, double copy_ms)
{
	session_note_evict(process->session, &(struct moved){.pid = process->pid,
							     .result = result,
							     .allocations = process->list.nr,
							     .bytes = process->list.bytes,
							     .options = &process->options,
							     .copied = &process->copied,
							     .wait_ms = process->wait_ms,
							     .copy_ms = copy_ms});
	session_note_copy(process->session, process->pid, &process->copied);
	atomic_fetch_add(result ? &pool.counters.failures : &pool.counters.dumps, 1);
	if (!result)
		atomic_fetch_add(&pool.counters.bytes_saved, process->list.bytes);
	send_done(process, CCR_MSG_OP_RESULT, result, error, copy_ms);
}

static void saved(void *argument, int result, const char *error, double ms)
{
	struct op_process *process = argument;

	/* Wait until criu was told that the memory is held, or why it is not. */
	pthread_mutex_lock(&process->evicting);
	process->is_saved = !result;
	operation_change(&process->operation, result ? OPERATION_FAILED : OPERATION_HELD);
	if (!process->is_refused)
		evict_ended(process, result, error, ms);
	pthread_mutex_unlock(&process->evicting);
}

void op_process_end_save(struct op_process *process)
{
	if (process->save)
		save_end(process->save);
	process->save = NULL;
	held_unmap_all(&process->list);
}

/*
 * Once the application knows that its memory is held, the evict cannot be
 * refused. Later failures are reported as the result of the save. -EPIPE means
 * that nobody knows who has the memory.
 */
static int take_over(struct op_process *process, int connection, const struct ccr_message *request,
		     char *error, size_t size)
{
	const uint32_t operation = process->number;
	/* The application exports its memory while our driver starts. */
	int ret = interceptor_begin_evict(connection, operation, request->op.timeout_ms);

	process->options = session_copy_options(request);
	process->options.protocol = process->protocol;
	if (!ret)
		ret = sharing_imports(process, &process->imports, &process->options.nr_imports);
	process->options.imports = process->imports;
	process->options.earlier = process->session->earlier;
	engine_prepare(&process->options);
	if (!ret)
		ret = pool_device_wait(error, size);
	if (!ret)
		ret = interceptor_collect(connection, operation, request->op.timeout_ms,
					  process->session->fd_backup, &process->list, NULL, error,
					  size);
	if (ret && !process->is_quiet)
		interceptor_abort(connection, operation, ret, error);
	if (ret)
		return ret;
	ret = interceptor_hold(connection, operation);
	if (ret)
		return ret;
	/* The application unmaps while we map. */
	if (!held_map_all(&process->list))
		process->save =
			save_begin(process->session->images_dir, process->image_pid, &process->list,
				   &process->options, &process->copied, saved, process);
	ret = interceptor_finish_evict(connection, request->op.timeout_ms, &process->is_kept, error,
				       size);
	return ret && !process->is_kept ? -EPIPE : ret; /* then criu asks us to return it */
}

static int take_out(struct op_process *process, const struct ccr_message *request, char *error,
		    size_t size)
{
	struct ccr_message hello;
	int ret;

	process->is_kept = true;
	ret = process->is_quiet ? 0
				: interceptor_wait_hello(process->connection, process->pidfd,
							 request->op.timeout_ms, &hello);
	if (!ret && !process->is_quiet)
		process->protocol = hello.version;
	if (ret)
		snprintf(error, size,
			 "the service thread of %d does not answer within "
			 "CRIU_CUDA_LOCK_TIMEOUT_MS = %u: %s",
			 process->pid, request->op.timeout_ms, strerror(-ret));
	else
		ret = take_over(process, process->connection, request, error, size);
	if (ret && !*error)
		snprintf(error, size, "%s", strerror(-ret));
	/* Work of others may wait for its own: its gate stays closed until the driver has it. */
	if (ret && process->is_quiet && process->is_kept &&
	    !interceptor_keep_quiet(process->connection, process->number, request->op.timeout_ms,
				    ret, error))
		return ret;
	op_process_open(process);
	return ret;
}

void op_process_evict(struct op_process *process, const struct ccr_message *request)
{
	const double start = now_ms();
	char error[256] = "";
	int ret;

	process->image_pid = request->op.image_pid;
	op_process_list(process, request, OPERATION_EVICTING);
	ccr_status_add(&process->session->status,
		       "{\"event\":\"evicting\",\"pid\":%d,\"operation\":%u}", process->pid,
		       process->number);
	session_reply(process->session, CCR_MSG_OP_READY, process->number, 0, NULL);
	pthread_mutex_lock(&process->evicting);
	ret = take_out(process, request, error, sizeof(error));
	process->wait_ms = now_ms() - start;
	process->is_refused = ret;
	ccr_status_span(&process->session->status, process->pid, "device memory",
			"hand-over to the pool", start, start + process->wait_ms);
	if (!ret) {
		operation_change(&process->operation, OPERATION_SAVING);
		send_done(process, CCR_MSG_OP_HELD, 0, "", 0);
	}
	pthread_mutex_unlock(&process->evicting);
	if (ret) {
		operation_end(&process->operation);
		op_process_end_save(process);
		if (process->is_kept)
			held_free_all(&process->list);
		evict_ended(process, ret, error, 0);
		return;
	}
	if (process->save)
		return;
	operation_change(&process->operation, OPERATION_FAILED);
	evict_ended(process, -EIO, "cannot map the memory to copy it", 0);
}

void op_process_commit(struct op_process *process, bool hold)
{
	if (process->has_thread)
		return;
	operation_end(&process->operation);
	op_process_end_save(process);
	if (hold && process->is_saved) {
		const int ret = prefetch_hold(process->session->images_dir, process->image_pid,
					      &process->list);

		if (ret)
			ccr_warn("the memory of %d is not held: %s", process->pid, strerror(-ret));
		else
			atomic_fetch_add(&pool.counters.holds, 1);
	}
	held_free_all(&process->list);
}

void op_process_abandon(const struct op_process *process)
{
	if (process->has_thread || process->load || !process->list.nr)
		return;
	ccr_err("%d: criu ended while the pool holds its memory; killing the process",
		process->pid);
	syscall(SYS_pidfd_send_signal, process->pidfd, SIGKILL, NULL, 0);
}

void op_process_forget(struct op_process *process)
{
	struct op_process **link = &process->session->processes;

	while (*link != process)
		link = &(*link)->next;
	*link = process->next;
	op_process_free(process);
}

void op_process_free(struct op_process *process)
{
	if (process->has_thread)
		pthread_join(process->thread, NULL);
	operation_end(&process->operation);
	op_process_end_save(process);
	op_process_disconnect(process);
	held_free_all(&process->list);
	load_put(process->load);
	free(process->imports);
	pthread_mutex_destroy(&process->evicting);
	close(process->pidfd);
	free(process);
}
