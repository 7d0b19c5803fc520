// SPDX-License-Identifier: GPL-2.0-only
/*
 * A SIGSTOP that reaches a thread while it runs for us is sent again afterwards, unless SIGCONT has
 * ended the stop meanwhile.
 */
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "plugin/inject/inject.h"
#include "plugin/task/restore_thread.h"
#include "plugin/task/state.h"
#include "plugin/trace/proc_status.h"
#include "test/check.h"
#include "test/plugin/no_watcher.h"
#include "test/plugin/stopped_child.h"

static volatile pid_t *worker; /* shared with the child */

/* What the process gets, in this order: when the thread runs, and when it has taken the SIGSTOP. */
struct signals {
	int first, then[2];
	bool is_stopped; /* afterwards */
};

static const struct signals cases[] = {
	{SIGSTOP, {0, 0}, true},
	{SIGSTOP, {SIGCONT, 0}, false},
	{SIGSTOP, {SIGCONT, SIGSTOP}, true},
};

static void *work(void *unused)
{
	*worker = syscall(SYS_gettid);
	for (;;)
		pause();
	return NULL;
}

static void start_worker(void)
{
	pthread_t thread;

	*worker = 0;
	pthread_create(&thread, NULL, work, NULL);
	while (!*worker)
		usleep(100);
}

/* As criu does: no other thread may take the signals. */
static pid_t start_stopped(void)
{
	const pid_t pid = start(start_worker);
	int status;

	CHECK(!ptrace(PTRACE_SEIZE, *worker, NULL, 0));
	CHECK(!ptrace(PTRACE_INTERRUPT, *worker, NULL, 0));
	CHECK(waitpid(*worker, &status, __WALL) == *worker);
	return pid;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	while (waitpid(-1, NULL, __WALL) > 0) /* its worker first */
		;
}

static void send_rest(pid_t pid, const struct signals *signals)
{
	for (int i = 0; i < 2 && signals->then[i]; i++)
		CHECK(!kill(pid, signals->then[i]));
}

static void check_stopped(pid_t tid, const struct signals *signals)
{
	CHECK(ccr__has_signal(tid, "SigPnd", SIGSTOP) == signals->is_stopped);
}

static void test_restore_thread(const struct signals *signals)
{
	struct restore_thread thread;
	const pid_t pid = start_stopped();

	CHECK(!ccr__restore_thread_resume(&thread, *worker) && thread.resumed);
	CHECK(!kill(pid, signals->first));
	while (!thread.is_held) {
		ccr__restore_thread_keep_running();
		usleep(100);
	}
	send_rest(pid, signals);
	CHECK(!ccr__restore_thread_stop(&thread));
	check_stopped(*worker, signals);
	end(pid);
}

static void test_injection(const struct signals *signals)
{
	static const uint64_t arguments[6];
	const pid_t pid = start_stopped();
	struct injection in;
	int64_t result;

	CHECK(!ccr__inject_begin(&in, pid));
	CHECK(!kill(pid, signals->first));
	CHECK(!ccr__inject_call(&in, &result, SYS_getpid, arguments) && result == pid);
	CHECK(in.held_signal == signals->first);
	send_rest(pid, signals);
	CHECK(!ccr__inject_end(&in));
	check_stopped(pid, signals);
	end(pid);
}

int main(void)
{
	worker = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ccr__plugin.settings.step_timeout_ms = 60000;
	alarm(60);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		test_restore_thread(&cases[i]);
		test_injection(&cases[i]);
	}
	return failures ? 1 : 0;
}
