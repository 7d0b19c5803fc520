// SPDX-License-Identifier: MIT
/* trace-thread TID: traces a thread, like a debugger, until its standard input ends. Prints a line.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	char unused;

	if (argc != 2 || ptrace(PTRACE_SEIZE, atoi(argv[1]), NULL, NULL)) {
		perror("trace-thread");
		return 1;
	}
	puts("traced");
	fflush(stdout);
	while (read(STDIN_FILENO, &unused, 1) > 0)
		;
	return 0;
}
