// SPDX-License-Identifier: GPL-2.0-only
/*
 * Background processes: detached from criu. Each is a fork without exec, made
 * while criu has no other thread. It never returns to CRIU's code, and its
 * socket reports end of file when criu ends. It keeps criu's descriptor of the
 * images directory: the watcher reads the manifests of host memory there.
 */
#include "plugin/watch/background.h"
#include "plugin/task/state.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int by_number(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

void ccr__close_range(unsigned int first, unsigned int last)
{
	struct dirent *entry;
	DIR *fds;

	if (!syscall(SYS_close_range, first, last, 0))
		return;
	/* Before Linux 5.9, or refused by a seccomp profile. */
	fds = opendir("/proc/self/fd");
	while (fds && (entry = readdir(fds))) {
		const unsigned int fd = strtoul(entry->d_name, NULL, 10);

		if (entry->d_name[0] != '.' && fd >= first && fd <= last && (int)fd != dirfd(fds))
			close(fd);
	}
	if (fds)
		closedir(fds);
}

/* Must not keep criu's descriptors open: a caller may wait for their end of file. */
static void close_all_but(int *kept, size_t nr)
{
	int low = 0;

	qsort(kept, nr, sizeof(*kept), by_number);
	for (size_t i = 0; i < nr; i++) {
		if (kept[i] > low)
			ccr__close_range(low, kept[i] - 1);
		if (kept[i] >= low)
			low = kept[i] + 1;
	}
	ccr__close_range(low, ~0U);
}

static void detach(const char *name, int fd)
{
	const struct plugin *p = &ccr__plugin;
	int kept[] = {fd, p->status.fd, p->preinit_fd, criu_get_image_dir()};
	sigset_t none;

	setsid();
	/* What was sent to criu's group, and so to us, before we had left it. */
	for (int sig = 1; sig < NSIG; sig++)
		signal(sig, SIG_IGN);
	prctl(PR_SET_NAME, name);
	ccr_log_set_sink(NULL);
	close_all_but(kept, sizeof(kept) / sizeof(kept[0]));
	for (int sig = 1; sig < NSIG; sig++)
		signal(sig, SIG_DFL);
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (chdir("/"))
		_exit(1);
}

/* In the child that ends at once: tells criu the pid of the process that stays. */
static void report(int fd, pid_t pid)
{
	send(fd, &pid, sizeof(pid), MSG_NOSIGNAL);
	_exit(0);
}

static pid_t fork_detached(const char *name, void (*run)(int stage, int fd), int stage, int fd)
{
	const pid_t child = fork();
	pid_t pid;

	if (child)
		return child;
	/* Second fork: criu treats the end of a child as the end of a task. */
	pid = fork();
	if (pid)
		report(fd, pid);
	detach(name, fd);
	run(stage, fd);
	_exit(0);
}

int ccr__background_start(const char *name, void (*run)(int stage, int fd), int stage, pid_t *pid)
{
	pid_t child, started = -1;
	sigset_t all, before;
	int fds[2], status;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds)) {
		const int ret = -errno;

		ccr_err("cannot create a socket pair for %s: %s", name, strerror(-ret));
		return ret;
	}
	/* A signal for all of criu's group must not end a process that has just become part of it.
	 */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	child = fork_detached(name, run, stage, fds[0]);
	sigprocmask(SIG_SETMASK, &before, NULL);
	close(fds[0]);
	if (child > 0) {
		while (waitpid(child, &status, 0) < 0 && errno == EINTR)
			;
		if (recv(fds[1], &started, sizeof(started), MSG_DONTWAIT) != sizeof(started))
			started = -1;
	}
	if (started < 0) {
		ccr_err("cannot fork to start %s", name);
		close(fds[1]);
		return -EAGAIN;
	}
	if (pid)
		*pid = started;
	return fds[1];
}

void *ccr__background_memory(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}
