// SPDX-License-Identifier: GPL-2.0-only
/*
 * The page file takes the place of the task's memory. Linux removes what was at
 * a fixed address before it maps the new; where that leaves a gap, the page
 * file has the bytes, and anonymous memory filled from it takes their place.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/io.h"
#include "plugin/inject.h"
#include "plugin/plugin.h"
#include "plugin/remap.h"

#define PIECE (1u << 20)

struct mapper {
	struct injection in;
	int fd, task_fd;
};

static int map(struct mapper *mapper, const struct remap_segment *s, int prot, int flags, int fd,
	       int64_t *result)
{
	const uint64_t arguments[6] = {s->address, s->size,  prot, MAP_PRIVATE | MAP_FIXED | flags,
				       fd,	   s->offset};

	return ccr__inject_call(&mapper->in, result, SYS_mmap, arguments);
}

static int advise(struct mapper *mapper, const struct remap_segment *s)
{
	static const struct {
		enum remap_advice bit;
		int advice;
	} table[] = {
		{REMAP_DONTFORK, MADV_DONTFORK},     {REMAP_DONTDUMP, MADV_DONTDUMP},
		{REMAP_HUGEPAGE, MADV_HUGEPAGE},     {REMAP_NOHUGEPAGE, MADV_NOHUGEPAGE},
		{REMAP_SEQUENTIAL, MADV_SEQUENTIAL}, {REMAP_RANDOM, MADV_RANDOM},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		const uint64_t arguments[6] = {s->address, s->size, table[i].advice};
		int64_t result;
		int ret;

		if (!(s->advice & table[i].bit))
			continue;
		ret = ccr__inject_call(&mapper->in, &result, SYS_madvise, arguments);
		if (!ret)
			ret = result;
		/* A kernel without huge pages: it had the flag from one that has them. */
		if (ret && !(ret == -EINVAL && table[i].bit & (REMAP_HUGEPAGE | REMAP_NOHUGEPAGE)))
			return ret;
	}
	return 0;
}

static int fill(struct mapper *mapper, const struct remap_segment *s)
{
	char *buffer = malloc(PIECE);
	int ret = buffer ? 0 : -ENOMEM;

	for (uint64_t done = 0; !ret && done < s->size;) {
		const size_t piece = s->size - done < PIECE ? s->size - done : PIECE;
		const struct iovec here = {buffer, piece};
		const struct iovec there = {(void *)(uintptr_t)(s->address + done), piece};

		ret = ccr_io_pread_full(mapper->fd, buffer, piece, s->offset + done);
		if (!ret &&
		    process_vm_writev(mapper->in.pid, &here, 1, &there, 1, 0) != (ssize_t)piece)
			ret = -EFAULT;
		done += piece;
	}
	free(buffer);
	return ret;
}

/* The segment could not be mapped from the file: anonymous memory with the same bytes. */
static int put_back(struct mapper *mapper, const struct remap_segment *s)
{
	const int flags = MAP_ANONYMOUS | (s->advice & REMAP_NORESERVE ? MAP_NORESERVE : 0);
	struct remap_segment anonymous = *s;
	const uint64_t arguments[6] = {s->address, s->size, s->prot};
	int64_t result;
	int ret;

	anonymous.offset = 0;
	ret = map(mapper, &anonymous, PROT_READ | PROT_WRITE, flags, -1, &result);
	if (!ret && result < 0)
		ret = result;
	if (!ret)
		ret = fill(mapper, s);
	if (!ret)
		ret = ccr__inject_call(&mapper->in, &result, SYS_mprotect, arguments);
	if (!ret && result < 0)
		ret = result;
	return ret ? ret : advise(mapper, s);
}

static int map_segment(struct mapper *mapper, const struct remap_segment *s, bool *is_mapped)
{
	const int flags = s->advice & REMAP_NORESERVE ? MAP_NORESERVE : 0;
	int64_t result;
	int ret;

	ret = map(mapper, s, s->prot, flags, mapper->task_fd, &result);
	if (ret)
		return ret;
	if (result == (int64_t)s->address) {
		ret = advise(mapper, s);
		if (!ret) {
			*is_mapped = true;
			return 0;
		}
		ccr_warn("%d: advice for %#llx: %s", mapper->in.pid, (unsigned long long)s->address,
			 strerror(-ret));
	} else {
		ccr_warn("%d: %#llx cannot be mapped: %s", mapper->in.pid,
			 (unsigned long long)s->address, strerror(-result));
	}
	return put_back(mapper, s);
}

static int close_fd(struct mapper *mapper)
{
	const uint64_t arguments[6] = {mapper->task_fd};
	int64_t result;

	return ccr__inject_call(&mapper->in, &result, SYS_close, arguments);
}

int ccr__remap_map(const struct remap_plan *plan, pid_t pid, int fd, size_t *mapped)
{
	struct mapper mapper = {.fd = fd};
	bool is_mapped = true;
	int ret, ended;

	*mapped = 0;
	if (ccr__inject_begin(&mapper.in, pid))
		return 0;
	mapper.task_fd = ccr__inject_fd(&mapper.in, fd);
	if (mapper.task_fd < 0)
		ccr_warn("%d: cannot be given the page file: %s: its host memory is left to CRIU",
			 pid, strerror(-mapper.task_fd));
	ret = 0;
	for (size_t i = 0; mapper.task_fd >= 0 && !ret && is_mapped && i < plan->nr_segments; i++) {
		is_mapped = false;
		ret = map_segment(&mapper, &plan->segments[i], &is_mapped);
		*mapped += is_mapped;
	}
	if (ret) { /* neither the old bytes nor the new are mapped: it must not run on */
		ccr_err("%d: its memory could not be put back: %s; it is killed", pid,
			strerror(-ret));
		kill(pid, SIGKILL);
		return ret;
	}
	ended = mapper.task_fd >= 0 ? close_fd(&mapper) : 0;
	ret = ccr__inject_end(&mapper.in);
	return ret ? ret : ended;
}
