// SPDX-License-Identifier: GPL-2.0-only
/*
 * While CRIU dumps a process, the first thread of it runs CRIU's parasite, which
 * waits for commands on a socket. When criu dies, the parasite finds that the socket is
 * closed, gives the mappings the protection that they had when CRIU came, and returns
 * to the program by rt_sigreturn. Memory that we have emptied had no access rights
 * then. So this comes before the memory is filled, or the program would get none.
 */
#include "plugin/trace/parasite.h"

#include <elf.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>

#include "plugin/inject/arch.h"
#include "plugin/task/restore_thread.h"
#include "plugin/task/state.h"
#include "plugin/trace/tracee.h"

/* The file whose mappings are the parasite's code, data and stack. */
#define PARASITE_FILE "/memfd:CRIUMFD"

static bool is_in_parasite(pid_t tid, uint64_t address)
{
	unsigned long start, end;
	char path[32], line[512];
	bool found = false;
	FILE *maps;

	snprintf(path, sizeof(path), "/proc/%d/maps", tid);
	maps = fopen(path, "re");
	while (maps && !found && fgets(line, sizeof(line), maps))
		found = sscanf(line, "%lx-%lx ", &start, &end) == 2 && address >= start &&
			address < end && strstr(line, PARASITE_FILE);
	if (maps)
		fclose(maps);
	return found;
}

static int instruction(pid_t tid, uint64_t *address)
{
	struct user_regs_struct regs;
	struct iovec iov = {&regs, sizeof(regs)};

	if (ptrace(PTRACE_GETREGSET, tid, NT_PRSTATUS, &iov))
		return -errno;
	*address = inject_ip(&regs);
	return 0;
}

int ccr__parasite_leave(pid_t tid)
{
	const double deadline = ccr__now_ms() + ccr__plugin.settings.step_timeout_ms;
	uint64_t address;
	int status, ret;

	ret = instruction(tid, &address);
	if (ret || !is_in_parasite(tid, address))
		return ret;
	if (ccr__set_ptrace_options(tid))
		return -errno;
	/* It stops before and after each system call, the last time after rt_sigreturn. */
	do {
		if (ccr__now_ms() > deadline)
			return -ETIMEDOUT;
		if (ptrace(PTRACE_SYSCALL, tid, NULL, 0))
			return -errno;
		ret = ccr__wait_stop(tid, &status);
		if (!ret)
			ret = instruction(tid, &address);
	} while (!ret && is_in_parasite(tid, address));
	return ret;
}
