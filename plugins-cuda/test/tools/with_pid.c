// SPDX-License-Identifier: MIT
/*
 * with-pid PID PROGRAM ARGUMENT...: runs the program with a pid that was free until
 * now, and ends as it ends. Needs CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN.
 */
#include <linux/sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	pid_t wanted = argc > 2 ? (pid_t)strtol(argv[1], NULL, 10) : 0, pid;
	struct clone_args args = {
		.exit_signal = SIGCHLD, .set_tid = (uintptr_t)&wanted, .set_tid_size = 1};
	int status = 0;

	if (wanted <= 0) {
		fprintf(stderr, "usage: with-pid PID PROGRAM ARGUMENT...\n");
		return 2;
	}
	pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execvp(argv[2], argv + 2);
	}
	if (pid <= 0) {
		perror(pid ? "with-pid: clone3" : argv[2]);
		_exit(127);
	}
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
