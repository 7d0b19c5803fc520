// SPDX-License-Identifier: MIT
/*
 * Description: a program for musl, which run.sh starts with the interceptor. It
 * checks that dlsym still finds functions, and that our exports are not a driver.
 */
#include <stddef.h>

void start_c(long *stack) __attribute__((used));

#if defined(__x86_64__)
__asm__(".globl _start\n"
	"_start:\n"
	"	movq %rsp, %rdi\n"
	"	andq $-16, %rsp\n"
	"	call start_c\n");
#endif

extern int __libc_start_main(int (*main)(int, char **), int argc, char **argv);
extern void *dlsym(void *handle, const char *name);
extern int puts(const char *text);
extern int strcmp(const char *a, const char *b);

static int program(int argc, char **argv)
{
	void *const everywhere = NULL; /* RTLD_DEFAULT */

	if (dlsym(everywhere, "strcmp") != (void *)strcmp || dlsym(everywhere, "no_such_function"))
		return puts("dlsym does not work"), 1;
	if (dlsym(everywhere, "cuInit"))
		return puts("there is a driver"), 1;
	puts("a program without CUDA runs");
	return 0;
}

void start_c(long *stack)
{
	__libc_start_main(program, (int)stack[0], (char **)(stack + 1));
}
