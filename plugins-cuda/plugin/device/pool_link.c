// SPDX-License-Identifier: GPL-2.0-only
#include "plugin/device/pool_link.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "plugin/device/early_helper.h"
#include "plugin/device/exchange.h"
#include "plugin/device/fetch.h"
#include "plugin/task/checkpoint_files.h"
#include "plugin/task/state.h"
#include "plugin/watch/background.h"
#include "common/protocol/message.h"
#include "common/run_dir.h"

struct pool_link ccr__pool_link = {
	.socket = -1, .images_dir = -1, .fd_backup = {-1, -1}, .earlier = -1};

/* cuda-poold is installed next to the plugin. */
static int helper_path(char *out, size_t size)
{
	const char *const plugin = ccr__plugin_path(), *const slash = strrchr(plugin, '/');

	if ((size_t)snprintf(out, size, "%.*s/cuda-poold", slash ? (int)(slash - plugin) : 1,
			     slash ? plugin : ".") >= size)
		return -ENAMETOOLONG;
	return access(out, X_OK) ? -errno : 0;
}

static void exec_helper(const char *path, int fd)
{
	char *const args[] = {(char *)path, "--once", NULL};
	sigset_t none;
	int null_fd;

	setsid();
	/* Daemonize with a second fork: criu treats the end of a child as the end of a task. */
	if (fork())
		_exit(0);
	null_fd = open("/dev/null", O_RDWR);
	if (fd == 3)
		fcntl(fd, F_SETFD, 0);
	else
		dup2(fd, 3);
	dup2(null_fd, 0);
	dup2(null_fd, 1);
	dup2(null_fd, 2);
	ccr__close_range(4, ~0U);
	for (int sig = 1; sig < NSIG; sig++)
		signal(sig, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	/* Pass on the environment: criu may need LD_LIBRARY_PATH to find its libraries, and then
	 * the helper does too. */
	execv(path, args);
	_exit(127);
}

static int start_helper(void)
{
	char path[PATH_MAX];
	int pair[2], ret, status;
	pid_t child;

	ret = helper_path(path, sizeof(path));
	if (ret) {
		snprintf(ccr__pool_link.error, sizeof(ccr__pool_link.error),
			 "cannot start the cuda-poold next to the plugin: %s", strerror(-ret));
		ccr_err("%s; run criu-cuda install", ccr__pool_link.error);
		return ret;
	}
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair)) {
		ret = -errno;
		ccr_err("cannot create a socket pair for cuda-poold: %s", strerror(-ret));
		return ret;
	}
	child = fork();
	if (!child)
		exec_helper(path, pair[1]);
	close(pair[1]);
	if (child < 0) {
		close(pair[0]);
		ccr_err("cannot fork to start %s", path);
		return -EAGAIN;
	}
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	ccr_info("started %s for this run", path);
	return pair[0];
}

static int connect_daemon(void)
{
#ifdef CCR_POOL_DAEMON
	const struct ccr_settings *settings = &ccr__plugin.settings;
	char why[256];
	int fd;

	if (!settings->context_pool) {
		ccr_info("context pool: not used, CRIU_CUDA_CONTEXT_POOL=0");
		return -ENOTSUP;
	}
	fd = ccr_run_dir_connect(settings->run_dir, CCR_POOL_SOCKET, why, sizeof(why));
	if (fd >= 0)
		ccr_info("context pool: connected to the daemon at %s/" CCR_POOL_SOCKET,
			 settings->run_dir);
	else
		ccr_info("context pool: no daemon at %s/" CCR_POOL_SOCKET
			 " (%s), a helper serves this run",
			 settings->run_dir, why);
	return fd;
#else
	return -ENOTSUP;
#endif
}

static int take_early(void)
{
	char path[PATH_MAX];
	const int ret = helper_path(path, sizeof(path));

	return ret ? ret : ccr__early_helper_take(path);
}

static void connected(int socket)
{
	ccr__pool_link.socket = socket;
	ccr__pool_link.peer = 0;
	ccr__pool_link.number++;
}

int ccr__pool_connect(void)
{
	struct pool_link *link = &ccr__pool_link;

	if (link->socket >= 0)
		return 0;
	connected(take_early());
	link->is_early = link->socket >= 0;
	if (link->socket < 0)
		connected(connect_daemon());
	link->is_daemon = link->socket >= 0 && !link->is_early;
	if (link->socket < 0)
		connected(start_helper());
	return link->socket < 0 ? link->socket : 0;
}

void ccr__pool_note_fallback(pid_t pid, const char *to, const char *why)
{
	const char *const from = ccr__pool_link.is_daemon ? "daemon" : "helper";
	char quoted[512];

	ccr_warn("context pool: the %s replaces the %s: %s", to, from, why);
	ccr_status_add(&ccr__plugin.status,
		       "{\"event\":\"fallback\",\"pid\":%d,\"from\":\"%s\",\"to\":\"%s\","
		       "\"reason\":\"%s\"}",
		       pid, from, to, ccr_status_quoted(quoted, sizeof(quoted), why));
}

int ccr__pool_replace(const char *why)
{
	struct pool_link *link = &ccr__pool_link;

	ccr__pool_note_fallback(0, "helper", why);
	if (link->socket >= 0)
		close(link->socket);
	link->is_daemon = link->is_early = false;
	link->is_replaced = true;
	ccr__answers_end(-EPIPE);
	connected(start_helper());
	return link->socket < 0 ? link->socket : 0;
}

static int collect_fds(uint32_t which, int pidfd, int connection, int *fds, uint32_t *given)
{
	const struct pool_link *link = &ccr__pool_link;
	const int available[] = {link->images_dir, ccr__plugin.status.fd, link->fd_backup[1], pidfd,
				 connection,	   link->earlier};
	int nr = 0;

	*given = 0;
	for (int i = 0; i < CCR_OP_MAX_FDS; i++) {
		if (!(which & 1u << i) || available[i] < 0)
			continue;
		fds[nr++] = available[i];
		*given |= 1u << i;
	}
	return nr;
}

/* Without the directory, everything is written. */
static void open_earlier(void)
{
	const char *dir = ccr__plugin.settings.prev_images_dir;

	if (ccr__pool_link.earlier >= 0 || !*dir)
		return;
	ccr__pool_link.earlier = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (ccr__pool_link.earlier < 0)
		ccr_warn("CRIU_CUDA_PREV_IMAGES_DIR: %s: %s", dir, strerror(errno));
}

/* A restore without images of interceptors is about it as well. */
static bool is_about_storage(enum ccr_message_type type)
{
	return type == CCR_MSG_OP_STORE || type == CCR_MSG_OP_UNSTORE ||
	       (type == CCR_MSG_OP_RESTORE && !ccr__files_nr_gpu_images());
}

int ccr__pool_request(enum ccr_message_type type, const struct task *task, uint32_t which)
{
	const struct plugin *p = &ccr__plugin;
	const struct ccr_settings *s = &p->settings;
	const bool is_storage = is_about_storage(type);
	int fds[CCR_OP_MAX_FDS], nr_fds, pidfd = -1, connection = -1, ret;
	struct ccr_message message;

	/* The pool may be in another PID namespace, where our pid means nothing. */
	if (which & CCR_OP_PIDFD) {
		pidfd = syscall(SYS_pidfd_open, task->pid, 0);
		if (pidfd < 0)
			return -errno;
	}
	if (which & CCR_OP_CONNECTION) {
		connection = ccr__fetch(task);
		if (connection < 0 && type != CCR_MSG_OP_ROLL_BACK) {
			if (pidfd >= 0)
				close(pidfd);
			return connection;
		}
	}
	ccr_message_init(&message, type, !task ? 0 : is_storage ? task->storage : task->operation);
	if (which & CCR_OP_EARLIER)
		open_earlier();
	nr_fds = collect_fds(which, pidfd, connection, fds, &message.op.fds);
	message.op.pid = task ? task->pid : 0;
	message.op.image_pid = task ? task->image_pid : 0;
	message.op.criu = getpid();
	message.op.timeout_ms = s->lock_timeout_ms;
	message.op.streams = is_storage ? s->storage_streams : s->streams;
	message.op.chunk_mb = is_storage ? s->storage_chunk_mb : s->chunk_mb;
	message.op.verify = s->verify;
	message.op.io = s->io;
	message.op.sync = s->sync;
	message.op.attach_mode = s->handover;
	message.op.hold = s->hold;
	message.op.again = ccr__pool_link.is_replaced;
	memcpy(message.op.checkpoint, ccr__files_id(), sizeof(message.op.checkpoint));
	message.op.map = p->device_map;
	message.op.group = ccr__pool_link.group;
	ret = ccr_message_send(ccr__pool_link.socket, &message, fds, nr_fds);
	if (pidfd >= 0)
		close(pidfd);
	if (connection >= 0)
		close(connection);
	return ret;
}

/*
 * Stores a message that is not about the awaited operation: an answer, or a copy's
 * result that nobody waits for yet. What nobody waits for any more is dropped.
 * Returns false for any other message.
 */
static bool note_other(const struct ccr_message *message, uint32_t awaited)
{
	struct task *task = ccr__plugin.tasks;

	if (ccr__answers_note(message))
		return true;
	if (!message->operation || message->operation == awaited)
		return false;
	while (task && task->operation != message->operation && task->storage != message->operation)
		task = task->next;
	if (!task)
		return false;
	if (task->storage == message->operation)
		return true;
	if (message->type == CCR_MSG_OP_GIVEN) {
		task->is_given = true;
		task->given_result = message->result;
		return true;
	}
	if (message->type != CCR_MSG_OP_RESULT)
		return false;
	task->is_saved = true;
	task->save_result = message->result;
	return true;
}

/* The process at the other end, or 0: with SO_PASSCRED, the kernel adds its credentials. */
static pid_t peer_of(int socket)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(struct ucred))];
	} control;
	struct msghdr msg = {.msg_control = &control, .msg_controllen = sizeof(control)};
	struct ucred credentials = {0};

	if (recvmsg(socket, &msg, MSG_PEEK | MSG_DONTWAIT) < 0)
		return 0;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_CREDENTIALS)
			memcpy(&credentials, CMSG_DATA(c), sizeof(credentials));
	return credentials.pid;
}

static int receive(enum ccr_message_type expected, uint32_t operation, struct ccr_message *reply,
		   int timeout_ms, bool *is_other)
{
	struct pool_link *link = &ccr__pool_link;
	int ret;

	*is_other = false;
	ret = ccr_message_receive(link->socket, reply, NULL, NULL, timeout_ms);
	if (ret) {
		ccr_err("no reply from cuda-poold: %s",
			ret == -EPIPE ? "it has ended" : strerror(-ret));
		return ret;
	}
	reply->done.text[sizeof(reply->done.text) - 1] = '\0';
	if (reply->type == CCR_MSG_OP_RESULT && reply->result) {
		ccr_err("cuda-poold: %s", reply->done.text);
		snprintf(link->error, sizeof(link->error), "%s", reply->done.text);
	}
	*is_other = note_other(reply, operation);
	if (reply->type == expected || reply->type == CCR_MSG_OP_RESULT)
		ret = reply->result;
	return reply->type == expected || ret ? ret : -EPROTO;
}

int ccr__pool_reply(enum ccr_message_type expected, uint32_t operation, struct ccr_message *reply,
		    int timeout_ms)
{
	bool is_other;
	int ret;

	do
		ret = receive(expected, operation, reply, timeout_ms, &is_other);
	while (is_other);
	return ret;
}

void ccr__pool_take(void)
{
	struct pool_link *link = &ccr__pool_link;
	struct pollfd poller = {.fd = link->socket, .events = POLLIN};
	struct ccr_message message;
	bool is_other;
	int ret;

	while (ccr__answers_are_awaited() && poll(&poller, 1, 0) > 0) {
		if (!link->peer)
			link->peer = peer_of(link->socket);
		ret = receive(0, 0, &message, 0, &is_other);
		if (is_other || ret == -EPROTO)
			continue;
		ccr__answers_end(ret ? ret : -EPROTO);
		return;
	}
}
