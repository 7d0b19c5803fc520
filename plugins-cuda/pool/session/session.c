// SPDX-License-Identifier: MIT
/* One run of criu: its requests arrive on one socket, in order. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pool/session/op_process.h"
#include "pool/session/op_store.h"
#include "pool/session/group/quiesce.h"
#include "pool/images/residents.h"
#include "common/protocol/message.h"

static void refuse(const struct session *s, uint32_t operation, int ret, const char *text)
{
	session_reply(s, CCR_MSG_OP_RESULT, operation, ret, text);
}

static void op_dump(struct session *s, const struct ccr_message *request)
{
	struct op_process *process = op_process_find(s, request->operation);

	if (!process || !process->is_quiet)
		process = s->images_dir < 0 ? NULL : op_process_new(s, request);
	if (process)
		op_process_evict(process, request);
	else
		refuse(s, request->operation, -ESRCH,
		       "the process is gone, or its service thread is not connected");
}

static void op_commit(struct session *s, const struct ccr_message *request)
{
	struct op_process *process = op_process_find(s, request->operation);

	/* The watcher says so as often as it finds out. */
	if (!process || sharing_left(process))
		return;
	group_ended(process);
	op_process_commit(process, request->op.hold);
}

static void op_roll_back(struct session *s, const struct ccr_message *request)
{
	struct op_process *process = op_process_find(s, request->operation);

	if (process && process->has_thread) { /* criu asked before, now its watcher does */
		op_process_again(process);
		return;
	}
	/* The request to dump it did not arrive, or was refused before anything was released. */
	if (!process || process->is_kept) {
		if (process)
			op_process_open(process);
		session_note_attach(
			s, &(struct moved){.pid = request->op.pid, .source = "held", .reason = ""});
		session_reply(s, CCR_MSG_OP_GIVEN, request->operation, 0, NULL);
		return;
	}
	op_process_connect(process);
	if (process->connection < 0) {
		session_reply(s, CCR_MSG_OP_GIVEN, request->operation, -ENOTCONN,
			      "cannot connect to its service thread");
		return;
	}
	process->mode = CCR_ATTACH_AUTO;
	process->is_again = process->is_refused; /* then it kept its memory */
	group_expect_back(process);
	if (op_process_give(process, request))
		session_reply(s, CCR_MSG_OP_GIVEN, request->operation, -EAGAIN,
			      "cannot start the thread that returns device memory");
}

/* Memory that another pool held. Its list arrives as the service thread sent it to that pool. */
static void op_reclaim(struct session *s, const struct ccr_message *request)
{
	struct op_process *const known = op_process_find(s, request->operation);
	struct op_process *process = known ? NULL : op_process_new(s, request);
	char error[256] = "";
	int ret = pool_device_wait(error, sizeof(error));

	/* It is counted in its group once. */
	if (known) {
		op_process_reclaimed_again(known, request->op.timeout_ms);
		return;
	}
	sharing_reclaim(s, request->op.group, process);
	group_reclaim(s, process, request->op.group);
	if (!process) {
		refuse(s, request->operation, -ESRCH,
		       "the process is gone, or its service thread is not connected");
		return;
	}
	process->mode = CCR_ATTACH_AUTO;
	process->is_again = true;
	if (!ret)
		ret = interceptor_collect(s->socket, process->number, request->op.timeout_ms, -1,
					  &process->list, process, error, sizeof(error));
	process->has_left = ret;
	sharing_arrived(process);
	if (ret)
		group_leave(process);
	if (ret)
		refuse(s, process->number, ret, error);
	else if (op_process_give(process, request))
		refuse(s, process->number, -EAGAIN,
		       "cannot start the thread that returns device memory");
	else
		session_reply(s, CCR_MSG_OP_READY, process->number, 0, NULL);
}

/* --- restore --- */

struct summary {
	uint32_t reused, golden, changed, loading, by_driver;
};

static struct load *find_or_begin(struct session *s, pid_t image_pid,
				  const struct copy_options *options, struct summary *summary,
				  int *result, char *error, size_t size)
{
	enum resident_answer answer = RESIDENT_ABSENT;
	/* Resident images stay on their devices, so a device map needs a new load. */
	struct load *load =
		options->map.count ? NULL : resident_take(s->images_dir, image_pid, &answer);

	if (load && !load_can_be_taken(load)) {
		load_put(load);
		load = NULL;
	}
	summary->reused += load && answer == RESIDENT_TAKEN && pool.is_daemon;
	summary->golden += load && answer == RESIDENT_GOLDEN;
	summary->changed += answer == RESIDENT_CHANGED;
	/* What a helper has, it began to load for this run. */
	summary->loading += !load || !pool.is_daemon;
	atomic_fetch_add(load && pool.is_daemon ? &pool.counters.reused : &pool.counters.loads, 1);
	return load ? load : load_begin(s->images_dir, image_pid, options, result, error, size);
}

static int want(struct session *s, pid_t criu, pid_t image_pid, const struct copy_options *options,
		struct summary *summary, char *error, size_t size)
{
	const uint32_t golden_before = summary->golden, loading_before = summary->loading;
	struct wanted *wanted = calloc(1, sizeof(*wanted));
	int ret = 0;

	if (!wanted)
		return -ENOMEM;
	wanted->load = find_or_begin(s, image_pid, options, summary, &ret, error, size);
	if (!wanted->load) {
		free(wanted);
		if (ret == -EMEDIUMTYPE) {
			summary->loading = loading_before;
			summary->by_driver++;
			op_store_expect(s, image_pid, options, NULL, false);
			return 0;
		}
		return ret == -ENODEV ? ret : -EIO;
	}
	ret = sharing_expect(s, image_pid, wanted->load->imports, wanted->load->nr_imports);
	wanted->is_resident = summary->loading == loading_before;
	wanted->is_golden = summary->golden > golden_before;
	if (wanted->load->is_driver) {
		summary->by_driver++;
		op_store_expect(s, image_pid, options, wanted->load, wanted->is_golden);
		free(wanted);
		return 0;
	}
	wanted->next = s->wanted;
	s->wanted = wanted;
	wanted->operation = (struct operation){
		.is_restore = true,
		.image_pid = image_pid,
		.criu = criu,
		.progress = &wanted->load->copied,
	};
	operation_begin(&wanted->operation, OPERATION_LOADING);
	return ret;
}

static void op_restore(struct session *s, const struct ccr_message *request)
{
	const struct copy_options options = session_copy_options(request);
	struct summary summary = {0};
	char text[256] = "";
	pid_t *pids = NULL;
	size_t nr = 0;
	int ret = s->images_dir < 0
			  ? -EBADF
			  : load_list_images(s->images_dir, &pids, &nr, text, sizeof(text));

	for (size_t i = 0; !ret && i < nr; i++)
		ret = want(s, request->op.criu, pids[i], &options, &summary, text, sizeof(text));
	free(pids);
	if (!pool.is_daemon) /* begun early, and not what this run restores */
		resident_drop(NULL, true);
	if (!ret)
		ret = sharing_check(s, text, sizeof(text));
	if (ret && !*text)
		snprintf(text, sizeof(text), "%s", strerror(-ret));
	if (!ret)
		snprintf(text, sizeof(text),
			 "%u resident images reused, %u golden copied, %u loading (%u of them "
			 "changed since they became resident)",
			 summary.reused, summary.golden, summary.loading, summary.changed);
	if (!ret && summary.by_driver)
		snprintf(text + strlen(text), sizeof(text) - strlen(text),
			 ", %u for the driver's custom storage", summary.by_driver);
	session_reply(s, CCR_MSG_OP_RESULT, 0, ret, text);
}

static void op_attach(struct session *s, const struct ccr_message *request)
{
	struct wanted *wanted = s->wanted;
	struct op_process *process;

	while (wanted && wanted->load->image_pid != request->op.image_pid)
		wanted = wanted->next;
	process = wanted ? op_process_new(s, request) : NULL;
	if (process) {
		operation_end(&wanted->operation);
		process->load = load_ref(wanted->load);
		process->source = wanted->is_golden	? "golden"
				  : wanted->is_resident ? "resident"
							: "files";
		process->is_again = request->op.again;
		process->mode = wanted->is_golden ? CCR_ATTACH_ADOPT : request->op.attach_mode;
		group_expect(process, request->op.group);
		sharing_arrived(process);
	}
	if (!process || op_process_give(process, request))
		refuse(s, request->operation, -ENOENT, "no GPU image was loaded for this process");
	else
		session_reply(s, CCR_MSG_OP_READY, process->number, 0, NULL);
}

/* Nothing else is asked of this session meanwhile: criu waits, and its watcher waits for criu. */
static void op_loaded(struct session *s, const struct ccr_message *request)
{
	const struct op_process *process = op_process_find(s, request->operation);
	int ret;

	if (!process || !process->load) {
		refuse(s, request->operation, -ENOENT, "no GPU image was loaded for this process");
		return;
	}
	ret = load_wait_for(process->load, s->socket);
	session_reply(s, CCR_MSG_OP_RESULT, request->operation, ret,
		      ret ? process->load->error : NULL);
}

/* --- the session --- */

static void serve(struct session *s, const struct ccr_message *request)
{
	switch (request->type) {
	case CCR_MSG_OP_DUMP:
		op_dump(s, request);
		break;
	case CCR_MSG_OP_COMMIT:
		op_commit(s, request);
		break;
	case CCR_MSG_OP_ROLL_BACK:
		op_roll_back(s, request);
		break;
	case CCR_MSG_OP_RECLAIM:
		op_reclaim(s, request);
		break;
	case CCR_MSG_OP_RESTORE:
		op_restore(s, request);
		break;
	case CCR_MSG_OP_ATTACH:
		op_attach(s, request);
		break;
	case CCR_MSG_OP_LOADED:
		op_loaded(s, request);
		break;
	case CCR_MSG_OP_STORE:
		op_store(s, request);
		break;
	case CCR_MSG_OP_UNSTORE:
		op_unstore(s, request);
		break;
	case CCR_MSG_OP_JOIN:
		op_join(s, request);
		break;
	case CCR_MSG_OP_QUIESCE:
		op_quiesce(s, request);
		break;
	default:
		ccr_err("message type %d is not a request", request->type);
		refuse(s, request->operation, -EPROTO, "the message is not a request");
	}
}

/* Keeps the descriptor's number, because the thread of a process may be using it. */
static void replace(int *fd, int by)
{
	if (*fd >= 0 && by >= 0) {
		dup3(by, *fd, O_CLOEXEC);
		close(by);
		return;
	}
	if (*fd >= 0)
		close(*fd);
	*fd = by;
}

/* Descriptors remain valid for later requests. */
static void take_fds(struct session *s, const struct ccr_message *request, const int *fds)
{
	if (request->op.fds & CCR_OP_IMAGES)
		replace(&s->images_dir, *fds++);
	if (request->op.fds & CCR_OP_STATUS) {
		replace(&s->status.fd, *fds++);
		ccr_status_add(&s->status, "{\"event\":\"pool\",\"pid\":%d}", getpid());
	}
	if (request->op.fds & CCR_OP_FD_BACKUP)
		replace(&s->fd_backup, *fds++);
	if (request->op.fds & CCR_OP_PIDFD)
		replace(&s->pidfd, *fds++);
	if (request->op.fds & CCR_OP_CONNECTION)
		s->connection = *fds++;
	if (request->op.fds & CCR_OP_EARLIER)
		replace(&s->earlier, *fds++);
}

/* `is_abandoned`: criu and its watcher have both gone. */
static void session_end(struct session *s, bool is_abandoned)
{
	/* No thread waits for a process that nobody will ask for. */
	if (!group_is_complete(s)) {
		sharing_end(s);
		group_end(s);
	}
	while (s->processes) {
		struct op_process *process = s->processes;

		s->processes = process->next;
		if (is_abandoned)
			op_process_abandon(process);
		op_process_free(process);
	}
	sharing_free(s);
	op_store_free_all(s);
	while (s->wanted) {
		struct wanted *wanted = s->wanted;

		s->wanted = wanted->next;
		operation_end(&wanted->operation);
		load_put(wanted->load);
		free(wanted);
	}
	ccr_status_close(&s->status);
	replace(&s->images_dir, -1);
	replace(&s->fd_backup, -1);
	replace(&s->pidfd, -1);
	replace(&s->earlier, -1);
	close(s->socket);
}

static bool is_request(const struct ccr_message *message)
{
	return message->type >= CCR_MSG_OP_DUMP && message->type <= CCR_MSG_OP_LAST;
}

void session_run(int socket)
{
	struct session session = {.socket = socket,
				  .images_dir = -1,
				  .fd_backup = -1,
				  .pidfd = -1,
				  .connection = -1,
				  .earlier = -1,
				  .status = {.fd = -1},
				  .group = GROUP_INITIALIZER,
				  .sharing = SHARING_INITIALIZER};
	int fds[CCR_HANDLES_A_MESSAGE], nr_fds;
	struct ccr_message request;
	int ret;

	while (!(ret = ccr_message_receive(socket, &request, fds, &nr_fds, -1))) {
		if (is_request(&request))
			take_fds(&session, &request, fds);
		else
			while (nr_fds)
				close(fds[--nr_fds]);
		serve(&session, &request);
		replace(&session.connection, -1); /* no operation has taken it */
	}
	if (ret != -EPIPE)
		ccr_err("the connection to criu failed: %s", strerror(-ret));
	session_end(&session, ret == -EPIPE);
}
