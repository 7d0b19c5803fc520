// SPDX-License-Identifier: MIT
// A real assembler must accept the text PTX, which has the KERNELS, for the GPUs listed here that
// it supports. Skipped without ptxas.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "common/kernels.h"
#include "common/rank_kernel.h"
#include "common/scan_kernel.h"

extern const char PTX[];

static int assemble(const char *ptxas, const char *file, const char *architecture)
{
	int status;
	const pid_t pid = fork();

	if (!pid) {
		execl(ptxas, ptxas, "-arch", architecture, "--warning-as-error", "-o", "/dev/null",
		      file, (char *)NULL);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return -1;
	return WEXITSTATUS(status);
}

int main(int argc, char **argv)
{
	static const char *const architectures[] = {"sm_75", "sm_80", "sm_90", "sm_100"};
	char file[] = "/tmp/ptx-XXXXXX";
	const size_t length = strlen(PTX);
	int fd, failed = 0;

	if (argc < 2 || access(argv[1], X_OK)) {
		printf("skipped: no ptxas (CUDA toolkit) on this machine\n");
		return 77;
	}
	fd = mkstemp(file);
	if (fd < 0 || write(fd, PTX, length) != (ssize_t)length) {
		perror(file);
		return 1;
	}
	for (size_t i = 0; i < sizeof(architectures) / sizeof(architectures[0]); i++) {
		const int status = assemble(argv[1], file, architectures[i]);

		if (status)
			fprintf(stderr, "ptxas for %s: exit status %d\n", architectures[i], status);
		failed |= status != 0;
	}
#define NAMED(kernel, nr_params) failed |= !strstr(PTX, ".visible .entry " #kernel "(");
	KERNELS(NAMED)
	close(fd);
	unlink(file);
	return failed;
}
