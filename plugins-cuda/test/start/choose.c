// SPDX-License-Identifier: MIT
/* Where the helper starts before Node. */
#include "start/start.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test/check.h"

static void make(const char *path)
{
	close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0700));
}

static void make_core(long tid, bool is_there)
{
	char path[64];

	snprintf(path, sizeof(path), "images/core-%ld.img", tid);
	if (is_there)
		make(path);
	else
		unlink(path);
}

static bool loads(const char *images_dir)
{
	const struct typed typed = {.is_restore = true, .images_dir = images_dir, .libdir = "lib"};
	char program[PATH_MAX] = "";

	return start_choose(&typed, program) && !strcmp(program, "lib/cuda-poold");
}

static void check_images(void)
{
	CHECK(!loads("images"));
	make("images/inventory.img");
	CHECK(!loads("images"));
	make("images/cuda-12x.img");
	CHECK(!loads("images"));
	make("images/cuda-12.img");
	CHECK(loads("images"));
	CHECK(loads("./images/"));
	CHECK(!loads("lib/../images"));
	CHECK(!loads("nothing"));
	CHECK(!loads("images/inventory.img"));
}

/* The helper gets the next ids. */
static void check_pids(void)
{
	const long next = getpid() + 1;

	make_core(getpid() - 1, true);
	make_core(next + 100000, true);
	CHECK(loads("images"));
	make_core(next, true);
	CHECK(!loads("images"));
	make_core(1, true); /* the ids are those of another namespace */
	CHECK(loads("images"));
	make_core(1, false);
	make_core(next, false);
	CHECK(loads("images"));
}

static void check_daemon(void)
{
	make("run/pool.sock");
	CHECK(!loads("images"));
	setenv("CRIU_CUDA_CONTEXT_POOL", "0", 1);
	CHECK(loads("images"));
	unsetenv("CRIU_CUDA_CONTEXT_POOL");
	unlink("run/pool.sock");
	setenv("CRIU_CUDA_STREAMS", "none", 1);
	CHECK(!loads("images"));
	unsetenv("CRIU_CUDA_STREAMS");
}

/* Whether a process with this environment is dumped through the pool. */
static bool saves(char *const environment[])
{
	struct typed typed = {.libdir = "lib"};
	char program[PATH_MAX], byte;
	int ready[2];
	bool found;

	if (pipe(ready))
		return false;
	typed.pid = fork();
	if (!typed.pid) {
		dup2(ready[1], STDOUT_FILENO);
		execve("/proc/self/exe", (char *[]){"choose", "wait", NULL}, environment);
		_exit(127);
	}
	found = read(ready[0], &byte, 1) == 1 && start_choose(&typed, program);
	kill(typed.pid, SIGKILL);
	waitpid(typed.pid, NULL, 0);
	close(ready[0]);
	close(ready[1]);
	return found;
}

static void check_processes(void)
{
	static char interceptor[] = "LD_PRELOAD=/nothing/libcuda_intercept-1.so", empty[] = "";
	static char other[] = "OLD_LD_PRELOAD=/nothing/libcuda_intercept-1.so";

	CHECK(saves((char *[]){"A=1", interceptor, NULL}));
	CHECK(saves((char *[]){empty, empty, interceptor, NULL}));
	CHECK(!saves((char *[]){"A=1", other, NULL}));
	CHECK(!saves((char *[]){NULL}));
}

int main(int argc, char **argv)
{
	char dir[] = "/tmp/start-choose-XXXXXX", run_dir[64], remove[64];

	if (argc > 1) {
		if (write(STDOUT_FILENO, argv[1], 1) == 1)
			pause();
		return 1;
	}
	if (geteuid()) {
		puts("skipped: it starts something only for root");
		return 77;
	}
	if (!mkdtemp(dir) || chdir(dir) || mkdir("lib", 0700) || mkdir("images", 0700) ||
	    mkdir("run", 0700))
		return 1;
	snprintf(run_dir, sizeof(run_dir), "%s/run", dir);
	setenv("CRIU_CUDA_RUN_DIR", run_dir, 1);
	setenv("CRIU_CUDA_CONFIG", "/dev/null", 1);
	setenv("CRIU_CUDA_DRIVER", "/nothing/libcuda.so.1", 1);
	make("lib/cuda_plugin.so");
	make("lib/cuda-poold");
	check_images();
	check_pids();
	check_daemon();
	check_processes();
	snprintf(remove, sizeof(remove), "rm -r %s", dir);
	if (system(remove))
		failures++;
	return failures != 0;
}
