// SPDX-License-Identifier: GPL-2.0-only
/*
 * Passes a descriptor to the task over a socket pair that is created in the
 * task; criu borrows one end of it. This works whatever paths, permissions and
 * namespaces the task has.
 */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "image/pages/pages.h"
#include "plugin/inject/inject.h"
#include "plugin/watch/watcher_link.h"
#include "common/log.h"

/* The arguments of recvmsg, as they are laid out in the scratch page. */
struct receive {
	struct msghdr msg;
	struct iovec iov;
	char byte;
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
};

static int copy(struct injection *in, void *local, size_t size, bool to_task)
{
	const struct iovec here = {local, size}, there = {(void *)(uintptr_t)in->scratch, size};
	const ssize_t done = to_task ? process_vm_writev(in->pid, &here, 1, &there, 1, 0)
				     : process_vm_readv(in->pid, &here, 1, &there, 1, 0);

	return done == (ssize_t)size ? 0 : done < 0 ? -errno : -EFAULT;
}

static int call(struct injection *in, int *result, long number, uint64_t a, uint64_t b, uint64_t c,
		uint64_t d)
{
	const uint64_t arguments[6] = {a, b, c, d};
	int64_t long_result = 0;
	const int ret = ccr__inject_call(in, &long_result, number, arguments);

	*result = (int)long_result;
	return ret;
}

/* Sends `fd` from criu through the task's descriptor `end`. */
static int send_through(pid_t pid, int end, int fd)
{
	char byte = 0;
	struct iovec iov = {&byte, 1};
	struct receive out = {.msg = {.msg_iov = &iov, .msg_iovlen = 1}};
	const int pidfd = syscall(SYS_pidfd_open, pid, 0);
	const int borrowed = pidfd < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, pidfd, end, 0);
	int ret = borrowed < 0 ? -errno : 0;

	out.control.head = (struct cmsghdr){.cmsg_level = SOL_SOCKET,
					    .cmsg_type = SCM_RIGHTS,
					    .cmsg_len = CMSG_LEN(sizeof(fd))};
	memcpy(CMSG_DATA(&out.control.head), &fd, sizeof(fd));
	out.msg.msg_control = &out.control;
	out.msg.msg_controllen = sizeof(out.control);
	if (!ret && sendmsg(borrowed, &out.msg, MSG_NOSIGNAL | MSG_DONTWAIT) != 1)
		ret = -errno;
	if (borrowed >= 0)
		close(borrowed);
	if (pidfd >= 0)
		close(pidfd);
	return ret;
}

static int receive(struct injection *in, int end, int *fd)
{
	const uint64_t at = in->scratch;
	struct receive expect = {
		.msg = {.msg_iov = (void *)(at + offsetof(struct receive, iov)),
			.msg_iovlen = 1,
			.msg_control = (void *)(at + offsetof(struct receive, control)),
			.msg_controllen = sizeof(expect.control)},
		.iov = {(void *)(at + offsetof(struct receive, byte)), 1},
	};
	int ret;

	*fd = copy(in, &expect, sizeof(expect), true);
	if (*fd)
		return 0;
	ret = call(in, fd, SYS_recvmsg, end, at, MSG_CMSG_CLOEXEC | MSG_DONTWAIT, 0);
	if (ret || *fd < 0)
		return ret;
	*fd = copy(in, &expect, sizeof(expect), false);
	if (*fd)
		return 0;
	if (expect.msg.msg_controllen < CMSG_LEN(sizeof(*fd)) ||
	    expect.control.head.cmsg_type != SCM_RIGHTS)
		*fd = -EMFILE; /* the task's descriptor table is full: the kernel dropped ours */
	else
		memcpy(fd, CMSG_DATA(&expect.control.head), sizeof(*fd));
	return 0;
}

/* The watcher closes the pair if criu is killed meanwhile. Returns 0 or -errno. */
static int note_pair(struct injection *in, struct injected_pair pair)
{
	struct injected record;

	in->pair = pair;
	record = ccr__inject_record(in);
	return ccr__watcher_injected(&record, 1);
}

static int make_pair(struct injection *in, int ends[2], int *result)
{
	int none[2] = {-1, -1}, ret;

	*result = copy(in, none, sizeof(none), true);
	if (*result)
		return 0;
	ret = note_pair(in, (struct injected_pair){.state = PAIR_IN_SCRATCH});
	if (!ret)
		ret = call(in, result, SYS_socketpair, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0,
			   in->scratch);
	if (!ret && *result)
		ret = note_pair(in, (struct injected_pair){.state = PAIR_NONE});
	else if (!ret)
		*result = copy(in, ends, sizeof(none), false);
	if (ret || *result)
		return ret;
	return note_pair(in, (struct injected_pair){PAIR_KNOWN, {ends[0], ends[1]}});
}

static int close_pair(struct injection *in, const int ends[2])
{
	int ret = 0, unused;

	for (int i = 0; i < 2; i++)
		ret |= call(in, &unused, SYS_close, ends[i], 0, 0, 0);
	return ret ? ret : note_pair(in, (struct injected_pair){.state = PAIR_NONE});
}

int ccr__inject_fd(struct injection *in, int fd, int *task_fd)
{
	int ends[2], ret, closed;

	ret = make_pair(in, ends, task_fd);
	if (ret || *task_fd)
		return ret;
	*task_fd = send_through(in->pid, ends[0], fd);
	if (!*task_fd)
		ret = receive(in, ends[1], task_fd);
	closed = close_pair(in, ends);
	return ret ? ret : closed;
}

/* What the descriptor `name` of the process is; "" if there is none. */
static const char *target_of(int fds, const char *name, char target[PATH_MAX])
{
	const ssize_t length = readlinkat(fds, name, target, PATH_MAX - 1);

	target[length < 0 ? 0 : length] = '\0';
	return target;
}

/* The threads of the process do not run, so the numbers are still those of the pair, or free. */
static int close_sockets(struct injection *in, int fds)
{
	char name[16], target[PATH_MAX];
	int ret = 0, unused;

	if (in->pair.state == PAIR_IN_SCRATCH)
		ret = copy(in, in->pair.ends, sizeof(in->pair.ends), false);
	for (int i = 0; !ret && in->pair.state != PAIR_NONE && i < 2; i++) {
		snprintf(name, sizeof(name), "%d", in->pair.ends[i]);
		if (!strncmp(target_of(fds, name, target), "socket:", 7))
			ret = call(in, &unused, SYS_close, in->pair.ends[i], 0, 0, 0);
	}
	in->pair.state = PAIR_NONE;
	return ret;
}

int ccr__inject_close_leftovers(struct injection *in)
{
	char path[48], target[PATH_MAX];
	struct dirent *entry;
	int ret, unused;
	DIR *fds;

	snprintf(path, sizeof(path), "/proc/%d/fd", in->pid);
	fds = opendir(path);
	if (!fds)
		return -errno;
	ret = close_sockets(in, dirfd(fds));
	while (!ret && (entry = readdir(fds)))
		if (ccr_pages_is_page_file(target_of(dirfd(fds), entry->d_name, target)))
			ret = call(in, &unused, SYS_close, atoi(entry->d_name), 0, 0, 0);
	closedir(fds);
	return ret;
}
