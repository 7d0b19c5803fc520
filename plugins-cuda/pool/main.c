// SPDX-License-Identifier: MIT
/*
 * cuda-poold --once: serves the one criu run whose socket is descriptor 3, then
 * ends. Its memory on the device ends with it.
 */
#include "pool/pool.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define ONCE_SOCKET 3

struct pool pool;

static void to_stderr(enum ccr_log_level level, const char *line)
{
	static const char *const names[] = {"", "error", "warning", "info", "debug"};

	if (level <= CCR_LOG_INFO)
		fprintf(stderr, "cuda-poold[%d]: %s: %s\n", getpid(), names[level], line);
}

/* One descriptor for each allocation in transit. */
static void raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

/* Answers the first request with the reason, so that it stands in criu's log. */
static int refuse(int socket, const char *error)
{
	struct ccr_message message;
	int fds[CCR_HANDLES_A_MESSAGE], nr_fds;

	ccr_err("%s", error);
	if (!ccr_message_receive(socket, &message, fds, &nr_fds, -1)) {
		ccr_message_init(&message, CCR_MSG_OP_RESULT, 0);
		message.result = -ENODEV;
		snprintf(message.done.text, sizeof(message.done.text), "%s", error);
		ccr_message_send(socket, &message, NULL, 0);
	}
	return 1;
}

int main(int argc, char **argv)
{
	char error[256];

	ccr_log_set_sink(to_stderr);
	if (argc != 2 || strcmp(argv[1], "--once")) {
		fprintf(stderr, "usage: cuda-poold --once (started by the plugin, socket on "
				"descriptor 3)\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	raise_file_limit();
	if (ccr_settings_load(&pool.settings, NULL, error, sizeof(error)) ||
	    pool_device_init(error, sizeof(error)))
		return refuse(ONCE_SOCKET, error);
	session_run(ONCE_SOCKET);
	return 0;
}
