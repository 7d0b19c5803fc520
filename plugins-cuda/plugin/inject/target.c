// SPDX-License-Identifier: GPL-2.0-only
/* Looks for a system call instruction in the task, and for what forbids to use it now. */
#include "plugin/inject/target.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

#include "plugin/inject/arch.h"

#define VDSO_MAX (64u << 10)

#ifndef PTRACE_GET_RSEQ_CONFIGURATION /* Linux 5.13 */
#define PTRACE_GET_RSEQ_CONFIGURATION 0x420f
#endif

/* Linux's struct ptrace_rseq_configuration and struct rseq_cs. */
struct rseq_configuration {
	uint64_t pointer;
	uint32_t size, signature, flags, pad;
};
struct rseq_section {
	uint32_t version, flags;
	uint64_t start, length, abort;
};

static bool read_task(pid_t pid, uint64_t address, void *out, size_t size)
{
	const struct iovec local = {out, size}, remote = {(void *)(uintptr_t)address, size};

	return process_vm_readv(pid, &local, 1, &remote, 1, 0) == (ssize_t)size;
}

uint64_t ccr__inject_gadget(pid_t pid)
{
	const size_t length = sizeof(INJECT_INSTRUCTION) - 1;
	uint64_t start = 0, end = 0, found = 0;
	char path[32], line[512], *code;
	FILE *maps;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	maps = fopen(path, "re");
	while (maps && fgets(line, sizeof(line), maps))
		if (strstr(line, "[vdso]") && sscanf(line, "%lx-%lx", &start, &end) == 2)
			break;
	if (maps)
		fclose(maps);
	if (!start || end - start > VDSO_MAX)
		return 0;
	code = malloc(end - start);
	if (code && read_task(pid, start, code, end - start))
		for (uint64_t at = 0; !found && at + length <= end - start; at += INJECT_ALIGN)
			if (!memcmp(code + at, INJECT_INSTRUCTION, length))
				found = start + at;
	free(code);
	return found;
}

/* The kernel restarts an interrupted section; after our calls the thread would just continue it. */
bool ccr__inject_in_rseq(pid_t pid, uint64_t ip)
{
	struct rseq_configuration rseq;
	struct rseq_section section;
	uint64_t pointer;

	if (ptrace(PTRACE_GET_RSEQ_CONFIGURATION, pid, sizeof(rseq), &rseq) < 0 || !rseq.pointer)
		return false;
	return read_task(pid, rseq.pointer + 8, &pointer, sizeof(pointer)) && pointer &&
	       read_task(pid, pointer, &section, sizeof(section)) &&
	       ip - section.start < section.length;
}
