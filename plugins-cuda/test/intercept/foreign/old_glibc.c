// SPDX-License-Identifier: MIT
/*
 * Description: a program for old C libraries, which run.sh starts with the
 * interceptor. Without arguments it ends as a program does that knows nothing of
 * CUDA. With the path of a driver it looks up and calls cuInit, and checks that
 * the service thread runs.
 */
#include "intercept/core/glibc.h"

#include <dirent.h>
#include <dlfcn.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/protocol/protocol.h"

/* The startup files of this machine's compiler need this machine's C library. */
#if defined(__x86_64__)
CCR_GLIBC(__libc_start_main, "2.2.5");
CCR_GLIBC(dlerror, "2.2.5");
CCR_GLIBC(dlopen, "2.2.5");
CCR_GLIBC(dlsym, "2.2.5");
__asm__(".globl _start\n"
	"_start:\n"
	"	movq %rsp, %rdi\n"
	"	andq $-16, %rsp\n"
	"	call start_c\n");
#endif

extern int __libc_start_main(int (*main)(int, char **), int argc, char **argv, void (*init)(void),
			     void (*fini)(void), void (*rtld_fini)(void), void *stack_end);
void start_c(long *stack) __attribute__((used));

static int count_services(void)
{
	DIR *dir = opendir("/proc/self/task");
	struct dirent *entry;
	int nr = 0;

	while (dir && (entry = readdir(dir))) {
		char path[300], comm[32] = "";
		FILE *file;

		snprintf(path, sizeof(path), "/proc/self/task/%s/comm", entry->d_name);
		file = fopen(path, "r");
		if (file && fgets(comm, sizeof(comm), file) && !strcmp(comm, CCR_SERVICE_COMM "\n"))
			nr++;
		if (file)
			fclose(file);
	}
	if (dir)
		closedir(dir);
	return nr;
}

static int check_cuda(const char *driver)
{
	void *handle = dlopen(driver, RTLD_NOW | RTLD_GLOBAL);
	int (*init)(unsigned int);

	if (!handle) {
		fprintf(stderr, "%s\n", dlerror());
		return 1;
	}
	*(void **)&init = dlsym(handle, "cuInit");
	if (!init || init(0) || dlsym(RTLD_DEFAULT, "cuInit") != (void *)init) {
		fprintf(stderr, "cuInit is not the interceptor's\n");
		return 1;
	}
	/* The thread sets its name after it has begun. */
	while (!count_services())
		sched_yield();
	puts("the service thread runs");
	return 0;
}

static int program(int argc, char **argv)
{
	if (argc > 1)
		return check_cuda(argv[1]);
	puts("a program without CUDA runs");
	return 0;
}

void start_c(long *stack)
{
	exit(__libc_start_main(program, stack[0], (char **)(stack + 1), NULL, NULL, NULL, stack));
}
