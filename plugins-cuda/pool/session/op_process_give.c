// SPDX-License-Identifier: MIT
/*
 * On a restore, and when a dump is rolled back, a thread waits until criu lets
 * the process run, and then gives it its memory.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/protocol/message.h"
#include "pool/session/op_process.h"

static void note_step(const struct op_process *process, const char *name, double *start)
{
	const double now = now_ms();

	ccr_status_span(&process->session->status, process->pid, "device memory", name, *start,
			now);
	*start = now;
}

/* Sends entries as they become ready, until all are sent or the load fails. */
static int hand_over(struct op_process *process, int connection, double *start, char *error,
		     size_t size)
{
	const uint32_t operation = process->number;
	struct load *load = process->load;
	ssize_t end;
	int ret = 0;

	if (!load)
		return interceptor_send_held(connection, operation, process->list.entries,
					     process->list.nr);
	for (size_t sent = 0; !ret && sent < load->list.nr; sent = end) {
		end = load_take_ready(load, sent);
		if (end < 0) {
			snprintf(error, size, "%s", load->error);
			return end;
		}
		ret = interceptor_send_held(connection, operation, &load->list.entries[sent],
					    end - sent);
		if (!sent)
			note_step(process, "until the first memory is loaded", start);
	}
	return ret;
}

/* The last step: its gate opens, when the other members of a group have their memory too. */
static int finish(struct op_process *process, bool waits, bool shares, char *error, size_t size)
{
	const int connection = process->connection;
	int ret;

	if (!waits) {
		ret = interceptor_finish_attach(connection, process->number, error, size);
		return ret ? ret : group_wait(process);
	}
	ret = interceptor_finish_place(connection, process->number, error, size);
	if (!ret && shares)
		ret = sharing_exchange(process, error, size);
	if (ret)
		return ret;
	ret = group_wait(process);
	if (!ret)
		return interceptor_open(connection, process->number, error, size);
	snprintf(error, size, "another process of its tree did not get its device memory");
	interceptor_abort(connection, process->number, ret, error);
	return ret;
}

static int attach(struct op_process *process, const struct ccr_message *hello, double *start,
		  char *error, size_t size)
{
	const int connection = process->connection;
	bool shares;
	const uint32_t mode = sharing_mode(process, process->mode, &shares);
	/* One of an earlier protocol does not wait for the others. */
	const bool waits = (process->has_group || shares) && hello->version >= CCR_PROTOCOL_GROUPS;
	int ret;

	if (process->load)
		operation_change(&process->operation, OPERATION_ATTACHING);
	ret = interceptor_begin_attach(connection, process->number,
				       mode | (waits ? CCR_ATTACH_GROUP : 0));
	if (!ret)
		ret = hand_over(process, connection, start, error, size);
	note_step(process, "until all is loaded", start);
	if (!ret)
		ret = finish(process, waits, shares, error, size);
	note_step(process, "until the gate is open", start);
	return ret;
}

/* Another pool has placed its memory, and died before it opened its gate. */
static int open_placed(struct op_process *process, char *error, size_t size)
{
	const int ret = group_wait(process);

	return ret ? ret : interceptor_open(process->connection, process->number, error, size);
}

static int leave_running(struct op_process *process, char *error, size_t size)
{
	int ret = process->is_again ? 0 : -EALREADY;

	if (!ret)
		ret = sharing_export_running(process, error, size);
	interceptor_abort(process->connection, process->number, ret,
			  "the process has its memory already");
	if (ret && !*error)
		snprintf(error, size, "the process has its memory already");
	return ret ? ret : group_wait(process);
}

static int give(struct op_process *process, char *error, size_t size)
{
	double start = now_ms();
	struct ccr_message hello;
	bool is_placed, has_memory;
	int ret;

	/* No time limit: criu decides when the application runs. If it exits, the wait ends. */
	ret = interceptor_wait_hello(process->connection, process->pidfd, -1, &hello);
	if (ret) {
		snprintf(error, size, "the process ended before it took its memory");
		return ret;
	}
	note_step(process, "the process does not run yet", &start);
	is_placed = group_is_open(process, hello.hello.state);
	has_memory = is_placed || hello.hello.state == CCR_SERVICE_RESIDENT;
	sharing_note_state(process, has_memory);
	if (is_placed)
		ret = open_placed(process, error, size);
	else if (has_memory)
		ret = leave_running(process, error, size);
	else
		ret = attach(process, &hello, &start, error, size);
	if (ret && !*error)
		snprintf(error, size, "the application's service thread: %s",
			 ret == -EPIPE ? "connection lost" : strerror(-ret));
	return ret;
}

static void count_give(const struct op_process *process, int ret)
{
	if (ret) {
		atomic_fetch_add(&pool.counters.failures, 1);
		return;
	}
	atomic_fetch_add(process->load ? &pool.counters.restores : &pool.counters.roll_backs, 1);
	atomic_fetch_add(&pool.counters.bytes_attached,
			 process->load ? process->load->list.bytes : process->list.bytes);
}

static void note_give(const struct op_process *process, int ret, double ms, const char *error)
{
	struct load *load = process->load;
	const bool is_copied = load && !strcmp(process->source, "files");

	session_note_attach(process->session,
			    &(struct moved){.pid = process->pid,
					    .result = ret,
					    .bytes = load ? load->list.bytes : process->list.bytes,
					    .source = load ? process->source : "held",
					    .options = is_copied ? &load->options : NULL,
					    .copied = is_copied ? &load->copied : NULL,
					    .wait_ms = ms,
					    .copy_ms = load ? load_duration_ms(load) : 0.0,
					    .reason = error});
}

static void *give_thread(void *argument)
{
	struct op_process *process = argument;
	const double start = now_ms();
	char error[384] = "";
	const int ret = give(process, error, sizeof(error));

	if (ret) {
		group_leave(process);
		sharing_left(process);
		/* Its gate is closed and its memory is incomplete, so it must not continue. */
		ccr_err("%d: %s; killing the process", process->pid, error);
		syscall(SYS_pidfd_send_signal, process->pidfd, SIGKILL, NULL, 0);
	}
	count_give(process, ret);
	note_give(process, ret, now_ms() - start, error);
	if (process->load && !strcmp(process->source, "files"))
		session_note_copy(process->session, process->pid, &process->load->copied);
	operation_end(&process->operation);
	op_process_disconnect(process);
	held_free_all(&process->list);
	process->given = ret;
	session_reply(process->session, CCR_MSG_OP_GIVEN, process->number, ret, error);
	atomic_store(&process->is_given, true);
	return NULL;
}

void op_process_again(const struct op_process *process)
{
	if (atomic_load(&process->is_given))
		session_reply(process->session, CCR_MSG_OP_GIVEN, process->number, process->given,
			      "");
}

void op_process_reclaimed_again(struct op_process *process, uint32_t timeout_ms)
{
	struct session *session = process->session;
	struct held_list list = {0};
	char error[256];

	interceptor_collect(session->socket, process->number, timeout_ms, -1, &list, process, error,
			    sizeof(error));
	held_free_all(&list);
	if (!process->has_thread) {
		session_reply(session, CCR_MSG_OP_RESULT, process->number, -ENODATA,
			      "its memory could not be taken over when it was first asked for");
		return;
	}
	session_reply(session, CCR_MSG_OP_READY, process->number, 0, NULL);
	op_process_again(process);
}

int op_process_give(struct op_process *process, const struct ccr_message *request)
{
	int ret;

	op_process_end_save(process);
	op_process_list(process, request, process->load ? OPERATION_LOADING : OPERATION_RETURNING);
	ret = pthread_create(&process->thread, NULL, give_thread, process);
	process->has_thread = !ret;
	if (ret) {
		group_leave(process);
		sharing_left(process);
	}
	return -ret;
}
