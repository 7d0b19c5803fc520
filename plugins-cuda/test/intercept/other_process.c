// SPDX-License-Identifier: MIT
#include "test/intercept/other_process.h"

#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test/intercept/intercept_test.h"

struct other_process other_process_start(const char *program, bool is_plain)
{
	char *argv[] = {(char *)program, "--serve", NULL}, *preload = getenv("LD_PRELOAD");
	char *last = strrchr(preload, ':');
	posix_spawn_file_actions_t actions;
	char before[4096], without[4096] = "";
	int input[2], output[2];
	struct other_process process;

	CHECK(strlen(preload) < sizeof(before));
	strcpy(before, preload);
	if (last) /* keeps a sanitizer's runtime */
		snprintf(without, sizeof(without), "%.*s", (int)(last - preload), preload);
	CHECK(!pipe2(input, O_CLOEXEC) && !pipe2(output, O_CLOEXEC));
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, input[0], STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&actions, output[1], STDOUT_FILENO);
	if (is_plain)
		setenv("LD_PRELOAD", without, 1);
	CHECK(!posix_spawn(&process.pid, "/proc/self/exe", &actions, NULL, argv, environ));
	setenv("LD_PRELOAD", before, 1);
	posix_spawn_file_actions_destroy(&actions);
	close(input[0]);
	close(output[1]);
	process.to = input[1];
	process.from = output[0];
	return process;
}

void other_process_end(struct other_process *process, int expected)
{
	int status;

	close(process->to);
	CHECK(waitpid(process->pid, &status, 0) == process->pid && status == expected);
	close(process->from);
}
