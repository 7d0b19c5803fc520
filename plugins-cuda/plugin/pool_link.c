// SPDX-License-Identifier: GPL-2.0-only
#include "plugin/pool_link.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "plugin/plugin.h"

static int link_fd = -1;

/* cuda-poold lies beside the plugin, which is where install puts it. */
static int helper_path(char *out, size_t size)
{
	const char *slash;
	Dl_info info;

	if (!dladdr(&CR_PLUGIN_DESC, &info) || !info.dli_fname)
		return -ENOENT;
	slash = strrchr(info.dli_fname, '/');
	if ((size_t)snprintf(out, size, "%.*s/cuda-poold",
			     slash ? (int)(slash - info.dli_fname) : 1,
			     slash ? info.dli_fname : ".") >= size)
		return -ENAMETOOLONG;
	return access(out, X_OK) ? -errno : 0;
}

static void exec_helper(const char *path, int fd)
{
	char *const args[] = {(char *)path, "--once", NULL};
	sigset_t none;
	int null_fd;

	setsid();
	/* The grandchild: criu takes the end of a child for the end of a task. */
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
	syscall(SYS_close_range, 4, ~0U, 0);
	for (int sig = 1; sig < NSIG; sig++)
		signal(sig, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	/* criu's own libraries may come by LD_LIBRARY_PATH; the helper finds what it needs the same
	 * way. */
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
		ccr_err("no cuda-poold beside the plugin: %s", strerror(-ret));
		return ret;
	}
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair)) {
		ret = -errno;
		ccr_err("socketpair: %s", strerror(-ret));
		return ret;
	}
	child = fork();
	if (!child)
		exec_helper(path, pair[1]);
	close(pair[1]);
	if (child < 0) {
		close(pair[0]);
		ccr_err("fork of %s failed", path);
		return -EAGAIN;
	}
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	ccr_info("started %s for this operation", path);
	return pair[0];
}

int ccr__pool_link(void)
{
	if (link_fd < 0)
		link_fd = start_helper();
	return link_fd;
}

int ccr__pool_link_fd(void)
{
	return link_fd;
}

void ccr__pool_link_set(int fd)
{
	link_fd = fd;
}

int ccr__pool_request(enum ccr_message_type type, uint32_t operation, pid_t pid, pid_t image_pid)
{
	const struct ccr_settings *s = &ccr__plugin.settings;
	const bool with_files = type == CCR_MSG_OP_DUMP || type == CCR_MSG_OP_RESTORE;
	const int fds[2] = {criu_get_image_dir(), ccr__plugin.status.fd};
	const int nr_fds = with_files ? 1 + (fds[1] >= 0) : 0;
	struct ccr_message message;
	const int socket = ccr__pool_link();

	if (socket < 0)
		return socket;
	ccr_message_init(&message, type, operation);
	message.op.pid = pid;
	message.op.criu = getpid();
	message.op.image_pid = image_pid;
	message.op.timeout_ms = s->lock_timeout_ms;
	message.op.streams = s->streams;
	message.op.chunk_mb = s->chunk_mb;
	message.op.verify = s->verify;
	message.op.io = s->io;
	message.op.attach_mode = s->handover;
	return ccr_message_send(socket, &message, fds, nr_fds);
}

int ccr__pool_reply(enum ccr_message_type expected, struct ccr_message *reply, int timeout_ms)
{
	const int ret = ccr_message_receive(link_fd, reply, NULL, NULL, timeout_ms);

	if (ret) {
		ccr_err("cuda-poold: %s", ret == -EPIPE ? "has ended" : strerror(-ret));
		return ret;
	}
	if (reply->type == CCR_MSG_OP_RESULT && reply->result) {
		reply->done.text[sizeof(reply->done.text) - 1] = '\0';
		ccr_err("cuda-poold: %s", reply->done.text);
		return reply->result;
	}
	return reply->type == expected ? 0 : -EPROTO;
}
