// SPDX-License-Identifier: MIT
/*
 * Description: a process gets a descriptor from the keeper of another one, by its token, and
 * nothing without it, of another user's, or when it is gone; and nobody can hold up the keeper, nor
 * fill the descriptor table of who asks.
 */
#include "intercept/keeper/fetch.h"
#include "intercept/keeper/keeper.h"
#include "intercept/keeper/others.h"
#include "test/intercept/intercept_test.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define NR 40

static const struct ccr__token unknown = {{7, 7}};

static struct ccr__token token_of(int i)
{
	return (struct ccr__token){{1000 + i, 1}};
}

static int new_file(void)
{
	const int fd = syscall(SYS_memfd_create, "fetch-test", MFD_CLOEXEC);

	CHECK(fd >= 0);
	return fd;
}

/* Runs `body` in another process, which knows ours by `pid`. */
static void in_child(void (*body)(pid_t pid, int file), int file)
{
	const pid_t pid = getpid();
	int status;
	pid_t child = fork();

	if (!child) {
		ccr__keep_reset();
		body(pid, file);
		_exit(0);
	}
	CHECK(waitpid(child, &status, 0) == child && !status);
}

static bool gets(pid_t pid, struct ccr__token token, int file)
{
	const int fd = ccr__keep_fetch(pid, &token);
	int same;

	if (fd < 0)
		return false;
	same = syscall(SYS_kcmp, getpid(), getpid(), 0 /* KCMP_FILE */, fd, file);
	close(fd);
	return !same;
}

static void fetch_one(pid_t pid, int file)
{
	CHECK(gets(pid, token_of(0), file));
	CHECK(gets(pid, token_of(0), file)); /* as often as it wants */
	CHECK(ccr__keep_fetch(pid, &unknown) == -ENOENT);
}

static void fetch_none(pid_t pid, int file)
{
	const struct ccr__token token = token_of(0);

	CHECK(ccr__keep_fetch(pid, &token) == -ENOENT);
}

static void fetch_as_nobody(pid_t pid, int file)
{
	CHECK(!setresuid(65534, 65534, 65534));
	CHECK(gets(pid, token_of(0), file)); /* root may give it to everyone */
}

/* In a pid namespace that does not have the owner, as two restores of one image beside each other:
 * the owner's name is found, and its pid is 0. */
static void fetch_from_elsewhere(pid_t pid, int file)
{
	const struct ccr__token token = token_of(0);
	int status;
	pid_t child;

	CHECK(!unshare(CLONE_NEWPID));
	child = fork();
	if (!child) {
		/* An error of an earlier call, or none, must not be taken for a socket. */
		for (int i = 0; i < 2; i++) {
			errno = i ? ENOENT : 0;
			CHECK(ccr__keep_fetch(pid, &token) == -ENOENT);
		}
		CHECK(fcntl(STDIN_FILENO, F_GETFD) >= 0);
		_exit(0);
	}
	CHECK(waitpid(child, &status, 0) == child && !status);
}

static void of_own_process(void)
{
	const struct ccr__token token = token_of(0);
	const int file = new_file();
	uint64_t kept;

	CHECK(!ccr__keep(file, &kept));
	in_child(fetch_none, file); /* nothing is published */
	CHECK(!ccr__keep_publish(kept, &token));
	in_child(fetch_one, file);
	if (!geteuid())
		in_child(fetch_as_nobody, file);
	if (!geteuid())
		in_child(fetch_from_elsewhere, file);
	ccr__keep_drop(kept);
	in_child(fetch_none, file);
	ccr__keep_end();
	in_child(fetch_none, file);
	CHECK(ccr__keep_publish(kept, &token) == -ESTALE);
	/* The next keeper has the same name, and what is published again. */
	CHECK(!ccr__keep(file, &kept) && !ccr__keep_publish(kept, &token));
	in_child(fetch_one, file);
	ccr__keep_end();
	close(file);
}

/* Neither user is root, and they differ. */
static void of_another_user(void)
{
	const pid_t owner = fork();
	const int file = new_file();
	int status;

	if (!owner) {
		const struct ccr__token token = token_of(0);
		const pid_t pid = getpid();
		int other_status;
		uint64_t kept;
		pid_t other;

		/* The other one starts as root, and takes its own user id. */
		int go[2];
		char byte;

		CHECK(!pipe(go));
		other = fork();
		if (!other) {
			CHECK(!setresuid(65533, 65533, 65533));
			CHECK(read(go[0], &byte, 1) == 1);
			CHECK(ccr__keep_fetch(pid, &token) == -ENOENT);
			_exit(0);
		}
		CHECK(!setresuid(65534, 65534, 65534));
		CHECK(!ccr__keep(file, &kept) && !ccr__keep_publish(kept, &token));
		CHECK(write(go[1], "g", 1) == 1);
		CHECK(waitpid(other, &other_status, 0) == other && !other_status);
		in_child(fetch_one, file); /* the same user */
		_exit(0);
	}
	CHECK(waitpid(owner, &status, 0) == owner && !status);
	close(file);
}

static void fetch_many(pid_t pid, int first)
{
	for (int i = 0; i < NR; i++) {
		const struct ccr__token token = token_of(i);
		const int fd = ccr__keep_fetch(pid, &token);

		CHECK(i % 2 ? fd == -ENOENT : fd >= 0);
		if (fd >= 0) {
			CHECK(lseek(fd, 0, SEEK_END) == 100 + i);
			close(fd);
		}
	}
}

/* Each token gives its own file, also after others were dropped and their numbers used again. */
static void several(void)
{
	uint64_t kept[NR];
	int files[NR];

	for (int i = 0; i < NR; i++) {
		const struct ccr__token token = token_of(i);

		files[i] = new_file();
		CHECK(!ftruncate(files[i], 100 + i));
		CHECK(!ccr__keep(files[i], &kept[i]) && !ccr__keep_publish(kept[i], &token));
	}
	for (int i = 1; i < NR; i += 2) {
		ccr__keep_drop(kept[i]);
		CHECK(!ccr__keep(files[0], &kept[i]));
	}
	in_child(fetch_many, files[0]);
	ccr__keep_end();
	for (int i = 0; i < NR; i++)
		close(files[i]);
}

static void connect_silently(pid_t pid, int file)
{
	struct sockaddr_un name;
	const socklen_t size = ccr__others_name(&name, pid, 0);

	/* More than may wait: each stays open and asks for nothing, or for nonsense. */
	for (int i = 0; i < 2 * CCR__OTHERS_PENDING; i++) {
		const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

		CHECK(!connect(fd, (struct sockaddr *)&name, size));
		if (i % 3 == 0)
			send(fd, "nonsense", 8, MSG_NOSIGNAL);
	}
	CHECK(gets(pid, token_of(0), file));
}

static void silent_ones_hold_up_nobody(void)
{
	const struct ccr__token token = token_of(0);
	const int file = new_file();
	uint64_t kept, more;

	CHECK(!ccr__keep(file, &kept) && !ccr__keep_publish(kept, &token));
	in_child(connect_silently, file);
	CHECK(!ccr__keep(file, &more));
	ccr__keep_end();
	close(file);
}

/* The name is taken, as by a process with this pid in another pid namespace. */
static void a_name_is_taken(void)
{
	const struct ccr__token token = token_of(0);
	const int file = new_file(), squatter = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct sockaddr_un name;
	uint64_t kept;

	CHECK(!bind(squatter, (struct sockaddr *)&name, ccr__others_name(&name, getpid(), 0)));
	CHECK(!ccr__keep(file, &kept) && !ccr__keep_publish(kept, &token));
	in_child(fetch_one, file);
	ccr__keep_end();
	close(squatter);
	close(file);
}

static int nr_open(void)
{
	int nr = 0;

	for (int fd = 0; fd < 1024; fd++)
		nr += fcntl(fd, F_GETFD) >= 0;
	return nr;
}

static void give(int listener, int nr)
{
	const int socket = accept(listener, NULL, NULL);
	char byte, control[CMSG_SPACE(8 * sizeof(int))] __attribute__((aligned(8))) = {0};
	struct ccr__token token;
	struct iovec iov = {&byte, 1};
	struct msghdr message = {.msg_iov = &iov,
				 .msg_iovlen = 1,
				 .msg_control = control,
				 .msg_controllen = CMSG_SPACE(nr * sizeof(int))};
	struct cmsghdr *head = CMSG_FIRSTHDR(&message);

	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN(nr * sizeof(int));
	for (int i = 0; i < nr; i++)
		memcpy(CMSG_DATA(head) + i * sizeof(int), &listener, sizeof(int));
	CHECK(recv(socket, &token, sizeof(token), 0) == sizeof(token));
	CHECK(sendmsg(socket, &message, 0) == 1);
	close(socket);
}

/* A program that has taken the name of its keeper cannot fill the table of one that asks it. */
static void more_than_one(void)
{
	const int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	const struct ccr__token token = token_of(0);
	struct sockaddr_un name;

	CHECK(!bind(listener, (struct sockaddr *)&name, ccr__others_name(&name, getpid(), 0)));
	CHECK(!listen(listener, 1));
	for (int nr = 2; nr <= 8; nr++) {
		const pid_t child = fork();
		int status;

		if (!child) {
			const int before = nr_open();

			CHECK(ccr__keep_fetch(getppid(), &token) == -EPROTO);
			CHECK(nr_open() == before);
			_exit(0);
		}
		give(listener, nr);
		CHECK(waitpid(child, &status, 0) == child && !status);
	}
	close(listener);
}

int main(void)
{
	of_own_process();
	if (!geteuid())
		of_another_user();
	several();
	silent_ones_hold_up_nobody();
	a_name_is_taken();
	more_than_one();
	return 0;
}
