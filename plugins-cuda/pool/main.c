// SPDX-License-Identifier: MIT
/*
 * `cuda-poold` is the daemon. `cuda-poold --once` serves the criu run whose
 * socket is descriptor 3, then exits, which frees its device memory.
 * `cuda-poold --early` does so for a dump that is to come, with DIR for a restore.
 */
#include "pool/daemon.h"
#include "pool/device/device.h"
#include "pool/early.h"
#include "pool/session/session.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#define ONCE_SOCKET 3

static void to_stderr(enum ccr_log_level level, const char *line)
{
	static const char *const names[] = {"", "error", "warning", "info", "debug"};

	if (level <= CCR_LOG_INFO)
		fprintf(stderr, "cuda-poold[%d]: %s: %s\n", getpid(), names[level], line);
}

/* Each allocation that we move needs a descriptor. */
static void raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

/*
 * A context of ours has few streams, and most of the time that it takes to make goes into its
 * hardware queues. Only the driver of this process reads the variable.
 */
static void want_few_queues(void)
{
	setenv("CUDA_DEVICE_MAX_CONNECTIONS", "1", 0);
}

static int serve_once(void)
{
	char error[256];

	pool_device_begin();
	session_run(ONCE_SOCKET);
	return pool_device_wait(error, sizeof(error)) ? 1 : 0;
}

int main(int argc, char **argv)
{
	const bool once = argc == 2 && !strcmp(argv[1], "--once");
	const bool early = (argc == 2 || argc == 3) && !strcmp(argv[1], "--early");
	char error[512];

	ccr_log_set_sink(to_stderr);
	if (argc != 1 && !once && !early) {
		fprintf(stderr,
			"usage: cuda-poold          the daemon of the run directory\n"
			"       cuda-poold --once   for one run of criu, whose plugin starts "
			"it\n"
			"       cuda-poold --early [DIR]   the same, before criu dumps, or "
			"restores DIR\n");
		return 2;
	}
	pool.is_daemon = !once && !early;
	if (!pool.is_daemon) /* so that the parent that reaps it can tell it from the daemon */
		prctl(PR_SET_NAME, "cuda-pool-once");
	signal(SIGPIPE, SIG_IGN);
	raise_file_limit();
	want_few_queues();
	if (ccr_settings_load(&pool.settings, NULL, error, sizeof(error))) {
		ccr_err("%s", error);
		return 2;
	}
	if (early)
		return early_run(argc == 3 ? argv[2] : NULL);
	return once ? serve_once() : daemon_run();
}
