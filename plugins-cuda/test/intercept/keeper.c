// SPDX-License-Identifier: MIT
/*
 * Description: descriptors that the program cannot see. They survive what a program
 * does with its own: closing all of them, having no free one, fork. They come back as
 * the same open files, and nothing of the keeper is left when it has ended.
 */
#include "intercept/keeper/keeper.h"
#include "test/descriptors.h"
#include "test/intercept/intercept_test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <poll.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define NR_THREADS 4
#define NR_EACH	   50

union fd_room {
	struct cmsghdr head;
	char room[CMSG_SPACE(CCR__KEEP_MAX * sizeof(int))];
};

static int new_file(void)
{
	const int fd = syscall(SYS_memfd_create, "keeper-test", MFD_CLOEXEC);

	CHECK(fd >= 0);
	return fd;
}

static bool is_same_file(int a, int b)
{
	/* KCMP_FILE is 0 */
	return !syscall(SYS_kcmp, getpid(), getpid(), 0, a, b);
}

/* Threads of ours, which are known by their names. */
static int nr_threads(void)
{
	DIR *dir = opendir("/proc/self/task");
	struct dirent *entry;
	int nr = 0;

	CHECK(dir);
	while ((entry = readdir(dir))) {
		char path[64], comm[32] = "";
		FILE *file;

		snprintf(path, sizeof(path), "/proc/self/task/%.16s/comm", entry->d_name);
		file = fopen(path, "re");
		if (file && fgets(comm, sizeof(comm), file))
			nr += !strncmp(comm, "criu-cuda-", 10);
		if (file)
			fclose(file);
	}
	closedir(dir);
	return nr;
}

/* A courier that has ended may still be listed. */
static void await_threads(int nr)
{
	while (nr_threads() != nr)
		sched_yield();
}

/* What the keeper sends for these numbers; returns how many descriptors have arrived. */
static int fetch(const uint64_t *kept, int nr, int *fds)
{
	char text[16] = "";
	struct iovec iov = {text, sizeof(text)};
	union fd_room control;
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = &control,
			     .msg_controllen = sizeof(control)};
	int pair[2], got;

	CHECK(!socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair));
	CHECK(!ccr__keep_send(pair[0], "hello", 6, kept, nr));
	CHECK(recvmsg(pair[1], &msg, MSG_CMSG_CLOEXEC) == 6 && !strcmp(text, "hello"));
	CHECK(!(msg.msg_flags & MSG_CTRUNC));
	got = (control.head.cmsg_len - CMSG_LEN(0)) / sizeof(int);
	memcpy(fds, CMSG_DATA(&control.head), got * sizeof(int));
	close(pair[0]);
	close(pair[1]);
	return got;
}

/* What the attempt to send one of them returns. */
static int send_result(uint64_t kept)
{
	int pair[2], ret;

	CHECK(!socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair));
	ret = ccr__keep_send(pair[0], "", 1, &kept, 1);
	close(pair[0]);
	close(pair[1]);
	return ret;
}

static bool is_kept_file(uint64_t kept, int original)
{
	int fd, same;

	CHECK(fetch(&kept, 1, &fd) == 1);
	same = is_same_file(fd, original);
	close(fd);
	return same;
}

static void keep_and_drop(void)
{
	const int file = new_file(), before = nr_descriptors();
	int pipes[2];
	uint64_t kept[2] = {0, 0};
	struct pollfd poller;

	CHECK(!nr_threads());
	ccr__keep_end();
	CHECK(!ccr__keep(file, &kept[0]) && !ccr__keep(file, &kept[1]));
	CHECK(kept[0] && kept[1] && kept[0] != kept[1]);
	CHECK(nr_descriptors() == before);
	await_threads(1);
	CHECK(is_kept_file(kept[0], file) && is_kept_file(kept[1], file));
	ccr__keep_drop(kept[0]);
	CHECK(is_kept_file(kept[1], file));
	/* What is dropped is closed when the call returns. */
	CHECK(!pipe2(pipes, O_CLOEXEC) && !ccr__keep(pipes[1], &kept[0]));
	close(pipes[1]);
	poller = (struct pollfd){.fd = pipes[0], .events = POLLIN};
	CHECK(!poll(&poller, 1, 0));
	ccr__keep_drop(kept[0]);
	CHECK(poll(&poller, 1, 0) == 1 && poller.revents == POLLHUP);
	close(pipes[0]);
	CHECK(ccr__keep(-1, &kept[0]) == -EBADF);
	ccr__keep_end();
	CHECK(!nr_threads() && nr_descriptors() == before);
	CHECK(send_result(kept[0]) == -ESTALE);
	ccr__keep_drop(kept[1]);
	/* Another one has other numbers. */
	CHECK(!ccr__keep(file, &kept[0]) && kept[0] != kept[1]);
	CHECK(send_result(kept[1]) == -ESTALE);
	CHECK(is_kept_file(kept[0], file));
	ccr__keep_end();
	close(file);
}

/* The program closes everything that it can find; the keeper has it all. */
static void close_everything(void)
{
	uint64_t kept[CCR__KEEP_MAX];
	int files[CCR__KEEP_MAX], fds[CCR__KEEP_MAX];
	struct stat a;

	for (int i = 0; i < CCR__KEEP_MAX; i++) {
		files[i] = new_file();
		CHECK(!ftruncate(files[i], 100 + i) && !ccr__keep(files[i], &kept[i]));
	}
	for (int fd = 3; fd < 4096; fd++)
		close(fd);
	syscall(SYS_close_range, 3u, ~0u, 0u);
	CHECK(fetch(kept, CCR__KEEP_MAX, fds) == CCR__KEEP_MAX);
	for (int i = 0; i < CCR__KEEP_MAX; i++) {
		CHECK(!fstat(fds[i], &a) && a.st_size == 100 + i);
		close(fds[i]);
	}
	ccr__keep_end();
}

static void full_table(void)
{
	struct rlimit limit, small;
	int files[64], nr = 0, fds[1];
	uint64_t kept;

	CHECK(!getrlimit(RLIMIT_NOFILE, &limit));
	small = (struct rlimit){.rlim_cur = 24, .rlim_max = limit.rlim_max};
	CHECK(!setrlimit(RLIMIT_NOFILE, &small));
	while ((files[nr] = dup(STDERR_FILENO)) >= 0)
		nr++;
	CHECK(errno == EMFILE && nr > 1);
	CHECK(!ccr__keep(files[nr - 1], &kept));
	for (int i = 0; i < nr; i++)
		close(files[i]);
	CHECK(fetch(&kept, 1, fds) == 1 && is_same_file(fds[0], STDERR_FILENO));
	close(fds[0]);
	/* The keeper's own table has the same limit. */
	for (nr = 0; !ccr__keep(STDERR_FILENO, &kept); nr++)
		CHECK(nr < 24);
	CHECK(nr > 8 && ccr__keep(STDERR_FILENO, &kept) == -EMFILE);
	ccr__keep_end();
	CHECK(!setrlimit(RLIMIT_NOFILE, &limit));
}

/* A child has neither the thread nor the descriptors; the parent still has both. */
static inline void forks(void)
{
	const int file = new_file(), before = nr_descriptors();
	uint64_t kept, again = 0;
	int status;
	pid_t child;

	CHECK(!ccr__keep(file, &kept));
	child = fork();
	if (!child) {
		ccr__keep_reset();
		CHECK(nr_descriptors() == before && !nr_threads());
		CHECK(send_result(kept) == -ESTALE);
		CHECK(!ccr__keep(file, &again) && is_kept_file(again, file));
		ccr__keep_end();
		CHECK(nr_descriptors() == before && !nr_threads());
		_exit(0);
	}
	CHECK(waitpid(child, &status, 0) == child && !status);
	CHECK(is_kept_file(kept, file));
	ccr__keep_end();
	close(file);
}

static void *export_many(void *unused)
{
	for (int i = 0; i < NR_EACH; i++) {
		const int file = new_file();
		uint64_t kept;

		CHECK(!ccr__keep(file, &kept) && is_kept_file(kept, file));
		if (i % 2)
			ccr__keep_drop(kept);
		close(file);
	}
	return NULL;
}

static void several_threads(void)
{
	const int before = nr_descriptors();
	pthread_t threads[NR_THREADS];

	for (int i = 0; i < NR_THREADS; i++)
		CHECK(!pthread_create(&threads[i], NULL, export_many, NULL));
	for (int i = 0; i < NR_THREADS; i++)
		CHECK(!pthread_join(threads[i], NULL));
	CHECK(nr_descriptors() == before);
	ccr__keep_end();
	CHECK(!nr_threads());
}

/* The name of the keeper's socket, as everyone in the network namespace sees it. */
static socklen_t find_name(struct sockaddr_un *name)
{
	FILE *file = fopen("/proc/net/unix", "re");
	char line[256];
	socklen_t size = 0;

	CHECK(file);
	while (fgets(line, sizeof(line), file)) {
		const char *at = strrchr(line, '@');

		/* SEQPACKET, accepting connections, and as short as the kernel's own names. */
		if (!at || strlen(at) != 7 || !strstr(line, " 00010000 0005 01 "))
			continue;
		name->sun_family = AF_UNIX;
		name->sun_path[0] = '\0';
		memcpy(name->sun_path + 1, at + 1, 5);
		size = offsetof(struct sockaddr_un, sun_path) + 6;
	}
	fclose(file);
	return size;
}

/* Another process that connects gets nothing, and disturbs nobody. */
static void stranger(void)
{
	const int file = new_file();
	struct sockaddr_un name;
	int status, ready[2];
	uint64_t kept;
	pid_t child;
	char byte;

	/* In a namespace of its own, if that is allowed, so that there is one such name. */
	syscall(SYS_unshare, 0x40000000 /* CLONE_NEWNET */);
	CHECK(!ccr__keep(file, &kept));
	CHECK(!pipe2(ready, O_CLOEXEC));
	child = fork();
	if (!child) {
		const socklen_t size = find_name(&name);

		CHECK(size);
		for (int i = 0; i < 100; i++) {
			const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

			CHECK(!connect(fd, (struct sockaddr *)&name, size));
			send(fd, "x", 1, MSG_NOSIGNAL);
			if (i == 99)
				CHECK(write(ready[1], "r", 1) == 1);
			/* The keeper closes it without an answer. */
			CHECK(read(fd, &byte, 1) <= 0);
			close(fd);
		}
		_exit(0);
	}
	CHECK(read(ready[0], &byte, 1) == 1);
	CHECK(is_kept_file(kept, file));
	CHECK(waitpid(child, &status, 0) == child && !status);
	CHECK(is_kept_file(kept, file));
	ccr__keep_end();
	close(file);
	close(ready[0]);
	close(ready[1]);
}

/* As the profiles of container engines do: no unshare, no pidfd_getfd, and an old kernel. */
static void filtered(void)
{
#define REFUSE(number)                                     \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1), \
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM)
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		REFUSE(SYS_unshare),
		REFUSE(438 /* pidfd_getfd */),
		REFUSE(436 /* close_range */),
		REFUSE(SYS_kcmp),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
	const struct sock_fprog program = {sizeof(filter) / sizeof(*filter), filter};
	const int file = new_file(), before = nr_descriptors();
	struct stat a, b;
	uint64_t kept;
	int fd;

	CHECK(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	CHECK(!prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program));
	CHECK(!ccr__keep(file, &kept));
	CHECK(fetch(&kept, 1, &fd) == 1 && !fstat(fd, &a) && !fstat(file, &b));
	CHECK(a.st_ino == b.st_ino);
	close(fd);
	ccr__keep_end();
	CHECK(nr_descriptors() == before && !nr_threads());
}

int main(void)
{
	keep_and_drop();
	close_everything();
	full_table();
#ifndef __SANITIZE_THREAD__ /* which does not support threads in a forked child */
	forks();
#endif
	several_threads();
	stranger();
	filtered();
	return 0;
}
