// SPDX-License-Identifier: MIT
#include "test/workload/workload_test.h"

#include <fcntl.h>

const char *workload_path;

static pid_t spawn(char *const options[], int in, int out, int err)
{
	char *argv[32] = {(char *)workload_path};
	pid_t pid;

	for (int i = 0; options[i]; i++) {
		CHECK(i < 30);
		argv[i + 1] = options[i];
	}
	fflush(NULL);
	pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if ((in < 0 || dup2(in, 0) == 0) && (out < 0 || dup2(out, 1) == 1) &&
		    (err < 0 || dup2(err, 2) == 2))
			execv(workload_path, argv);
		_exit(127);
	}
	return pid;
}

static int exit_status(pid_t pid)
{
	int status;

	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void read_line(struct program *p)
{
	const ssize_t length = getline(&p->line, &p->room, p->from);

	CHECK(length > 0);
	p->line[strcspn(p->line, "\n")] = '\0';
}

void program_start(struct program *p, char *const options[])
{
	int in[2], out[2];

	memset(p, 0, sizeof(*p));
	CHECK(!pipe2(in, O_CLOEXEC) && !pipe2(out, O_CLOEXEC));
	p->pid = spawn(options, in[0], out[1], -1);
	close(in[0]);
	close(out[1]);
	p->to = fdopen(in[1], "w");
	p->from = fdopen(out[0], "r");
	CHECK(p->to && p->from);
	for (int i = 0; options[i]; i++)
		if (!strcmp(options[i], "--socket"))
			return;
	read_line(p);
	CHECK(!strncmp(p->line, "ready pid=", 10));
	CHECK(program_number(p, "pid") == (unsigned long long)p->pid);
}

const char *program_ask(struct program *p, const char *request)
{
	fprintf(p->to, "%s\n", request);
	CHECK(!fflush(p->to));
	read_line(p);
	return p->line;
}

unsigned long long program_number(const struct program *p, const char *key)
{
	const size_t length = strlen(key);
	const char *at = p->line;

	while ((at = strstr(at, key)) && (at[length] != '=' || (at > p->line && at[-1] != ' ')))
		at += length;
	CHECK(at);
	return strtoull(at + length + 1, NULL, 10);
}

int program_end(struct program *p)
{
	fclose(p->to);
	fclose(p->from);
	free(p->line);
	return exit_status(p->pid);
}

int program_fails(char *const options[], char *text, size_t size)
{
	size_t used = 0;
	ssize_t n;
	int err[2];
	pid_t pid;

	CHECK(!pipe2(err, O_CLOEXEC));
	pid = spawn(options, -1, -1, err[1]);
	close(err[1]);
	while ((n = read(err[0], text + used, size - 1 - used)) > 0)
		used += n;
	text[used] = '\0';
	close(err[0]);
	return exit_status(pid);
}
