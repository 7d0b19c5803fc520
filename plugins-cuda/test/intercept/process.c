// SPDX-License-Identifier: MIT
/*
 * Description: what a program may do itself while it has a service thread. It
 * gets every signal that it waits for, and a forked child shares neither the
 * mailbox nor a connection with it.
 */
#include "test/intercept/intercept_test.h"
#include "common/protocol/message.h"
#include "test/intercept/connect.h"

#include <dirent.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#define NR_SIGNALS 100
#define WAIT_MS	   10000

static void signals(void)
{
	const struct timespec limit = {.tv_sec = 10};

	for (int number = SIGRTMIN; number <= SIGRTMAX; number++) {
		sigset_t set;

		sigemptyset(&set);
		sigaddset(&set, number);
		CHECK(!sigprocmask(SIG_BLOCK, &set, NULL));
		for (int i = 0; i < NR_SIGNALS; i++)
			CHECK(!sigqueue(getpid(), number, (union sigval){.sival_int = i}));
		/* The service thread, if it waits for this signal, takes it meanwhile. */
		CHECK(service_tid(getpid()) > 0);
		for (int i = 0; i < NR_SIGNALS; i++) {
			siginfo_t info;

			CHECK(sigtimedwait(&set, &info, &limit) == number);
			CHECK(info.si_value.sival_int == i);
		}
	}
}

static int nr_sockets(void)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;
	int nr = 0;

	CHECK(dir);
	while ((entry = readdir(dir))) {
		char target[32] = "";

		if (readlinkat(dirfd(dir), entry->d_name, target, sizeof(target) - 1) > 0)
			nr += !strncmp(target, "socket:", 7);
	}
	closedir(dir);
	return nr;
}

static struct ccr_mailbox *mailbox(void)
{
	struct ccr_mailbox copy;
	uint64_t address;

	CHECK(!ccr_mailbox_read(getpid(), &copy, &address));
	CHECK(copy.protocol == CCR_PROTOCOL_VERSION && copy.size == sizeof(copy));
	return (void *)(uintptr_t)address;
}

/* Makes a child that must have `expected` sockets, all of them the program's own. */
static void fork_child(int expected)
{
	const pid_t child = fork();
	int status;

	if (!child) {
		CHECK(nr_sockets() == expected);
		CHECK(mailbox()->ends == CCR_MAILBOX_NO_ENDS && !mailbox()->gate_closed);
		mailbox()->imports = 7;
		_exit(0);
	}
	CHECK(waitpid(child, &status, 0) == child && !status);
	CHECK(!mailbox()->imports);
}

static void forks(void)
{
	const int own = nr_sockets(), first = connect_service();
	struct ccr_message hello;
	int second;

	/* The thread has its end open from HELLO on. */
	CHECK(!ccr_message_receive(first, &hello, NULL, NULL, WAIT_MS));
	CHECK(hello.type == CCR_MSG_HELLO && nr_sockets() == own + 2);
	fork_child(own + 1);
	/* One that it has not taken yet, because it serves the first one. */
	second = connect_service();
	fork_child(own + 2);
	close(first);
	CHECK(!ccr_message_receive(second, &hello, NULL, NULL, WAIT_MS));
	CHECK(hello.type == CCR_MSG_HELLO);
	close(second);
	while (nr_sockets() != own)
		sched_yield();
}

int main(int argc, char **argv)
{
	test_begin(argc, argv);
	test_cuda_begin();
	while (!service_tid(getpid()))
		sched_yield();
	signals();
	forks();
	CHECK(!pool_evict(WAIT_MS, BREAK_NEVER).error);
	CHECK(!pool_attach(CCR_ATTACH_ADOPT, SOURCE_KEPT, BREAK_NEVER).error);
	return 0;
}
