// SPDX-License-Identifier: GPL-2.0-only
/*
 * A thread that made system calls for us, and whose own registers cannot be written back, must
 * never run: its process is killed, also when it is one of many threads.
 */
#include <elf.h>
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>

#include "plugin/inject/arch.h"
#include "plugin/inject/crew.h"
#include "plugin/inject/inject.h"
#include "plugin/task/state.h"
#include "test/check.h"
#include "test/plugin/no_watcher.h"
#include "test/plugin/stopped_child.h"

#define NR_THREADS 3

static volatile pid_t *tids; /* shared with the child */
static pid_t broken;	     /* the thread whose registers cannot be written back */
static uint64_t own_ip;

long __real_ptrace(int request, ...);
long __wrap_ptrace(int request, ...);

long __wrap_ptrace(int request, ...)
{
	const struct iovec *iov;
	void *address, *data;
	va_list arguments;
	pid_t pid;

	va_start(arguments, request);
	pid = va_arg(arguments, pid_t);
	address = va_arg(arguments, void *);
	data = va_arg(arguments, void *);
	va_end(arguments);
	iov = data;
	if (request == PTRACE_SETREGSET && pid == broken && inject_ip(iov->iov_base) == own_ip) {
		errno = EIO;
		return -1;
	}
	return __real_ptrace(request, pid, address, data);
}

static void *wait_for_ever(void *data)
{
	tids[(long)data] = syscall(SYS_gettid);
	for (;;)
		pause();
	return NULL;
}

static void start_threads(void)
{
	pthread_t thread;

	tids[0] = getpid();
	for (long i = 1; i < NR_THREADS; i++)
		pthread_create(&thread, NULL, wait_for_ever, (void *)i);
	for (long i = 1; i < NR_THREADS; i++)
		while (!tids[i])
			usleep(100);
}

static void stop_others(void)
{
	int status;

	for (long i = 1; i < NR_THREADS; i++) {
		CHECK(!ptrace(PTRACE_SEIZE, tids[i], NULL, 0));
		CHECK(!ptrace(PTRACE_INTERRUPT, tids[i], NULL, 0));
		CHECK(waitpid(tids[i], &status, __WALL) == tids[i]);
	}
}

static void break_thread(const struct injection *in)
{
	broken = in->pid;
	own_ip = inject_ip(&in->regs);
}

static bool was_killed(pid_t pid)
{
	int status = 0;
	pid_t ended;

	broken = 0;
	while ((ended = waitpid(-1, &status, __WALL)) > 0)
		if (ended == pid && !WIFSTOPPED(status))
			break;
	while (waitpid(-1, NULL, __WALL) > 0)
		;
	return ended == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

static void test_one(void)
{
	struct injection in;
	const pid_t pid = start(start_threads);

	stop_others();
	CHECK(!ccr__inject_begin(&in, pid));
	break_thread(&in);
	CHECK(ccr__inject_end(&in) == -EIO);
	CHECK(was_killed(pid));
}

static void test_crew(void)
{
	struct crew crew;
	const pid_t pid = start(start_threads);

	stop_others();
	CHECK(!ccr__crew_prepare(&crew, pid, pid, NULL) && crew.nr == NR_THREADS - 1);
	CHECK(!ccr__crew_begin(&crew));
	break_thread(&crew.threads[0]);
	CHECK(ccr__crew_end(&crew) == -EIO);
	CHECK(was_killed(pid));
}

int main(void)
{
	tids = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ccr__plugin.settings.step_timeout_ms = 60000;
	alarm(60);
	test_one();
	for (long i = 0; i < NR_THREADS; i++)
		tids[i] = 0;
	test_crew();
	return failures ? 1 : 0;
}
