// SPDX-License-Identifier: GPL-2.0-only
/*
 * Maps the page file over the task's memory. Linux removes what was at a fixed
 * address before it maps the file; if the mapping then fails, we map anonymous
 * memory there and fill it from the page file.
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
#include "plugin/inject/inject.h"
#include "plugin/task/state.h"
#include "plugin/task/restore_thread.h"
#include "plugin/host/remap/remap.h"

#define PIECE (1u << 20)

struct mapper {
	struct injection in;
	int fd, task_fd;
};

static int map(struct mapper *mapper, const struct remap_segment *s, int prot, int flags, int fd,
	       int64_t *result)
{
	const uint64_t arguments[6] = {s->address, s->size, prot, MAP_FIXED | flags, fd, s->offset};

	return ccr__inject_call(&mapper->in, result, SYS_mmap, arguments);
}

int ccr__remap_advise(struct injection *in, uint64_t address, uint64_t size, unsigned int advice)
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
		const uint64_t arguments[6] = {address, size, table[i].advice};
		int64_t result;
		int ret;

		if (!(advice & table[i].bit))
			continue;
		ret = ccr__inject_call(in, &result, SYS_madvise, arguments);
		if (!ret)
			ret = result;
		/* This kernel has no huge pages, the one that set the flag had. */
		if (ret && !(ret == -EINVAL && table[i].bit & (REMAP_HUGEPAGE | REMAP_NOHUGEPAGE)))
			return ret;
	}
	return 0;
}

/*
 * Linux either maps all of a segment or removes what was there and maps nothing:
 * the first page tells whether the task has lost memory.
 */
bool ccr__remap_is_mapped(pid_t pid, uint64_t address)
{
	char byte;
	const struct iovec here = {&byte, 1}, there = {(void *)(uintptr_t)address, 1};

	return process_vm_readv(pid, &here, 1, &there, 1, 0) == 1;
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

/*
 * The segment could not be mapped from the file: maps anonymous memory and fills
 * it with the same bytes. `is_lost`: the memory may be mapped without its bytes.
 */
static int map_anonymous(struct mapper *mapper, const struct remap_segment *s, bool *is_lost)
{
	const int flags = MAP_ANONYMOUS | (s->is_shared ? MAP_SHARED : MAP_PRIVATE) |
			  (s->advice & REMAP_NORESERVE ? MAP_NORESERVE : 0);
	struct remap_segment anonymous = *s;
	const uint64_t arguments[6] = {s->address, s->size, s->prot};
	int64_t result;
	int ret;

	anonymous.offset = 0;
	ret = map(mapper, &anonymous, PROT_READ | PROT_WRITE, flags, -1, &result);
	if (!ret && result < 0)
		return result;
	if (!ret)
		ret = fill(mapper, s);
	*is_lost = ret;
	if (!ret)
		ret = ccr__inject_call(&mapper->in, &result, SYS_mprotect, arguments);
	if (!ret && result < 0)
		ret = result;
	return ret ? ret : ccr__remap_advise(&mapper->in, s->address, s->size, s->advice);
}

/* Returns 0 with `*is_mapped` false when the segment is anonymous memory as before. */
static int map_segment(struct mapper *mapper, const struct remap_segment *s, bool *is_mapped,
		       bool *is_lost)
{
	const int flags = MAP_PRIVATE | (s->advice & REMAP_NORESERVE ? MAP_NORESERVE : 0);
	int64_t result;
	int ret;

	ret = map(mapper, s, s->prot, flags, mapper->task_fd, &result);
	if (ret)
		return ret;
	if (result == (int64_t)s->address) {
		ret = ccr__remap_advise(&mapper->in, s->address, s->size, s->advice);
		if (!ret) {
			*is_mapped = true;
			return 0;
		}
	} else {
		ret = result < 0 ? (int)result : -EFAULT;
	}
	ccr_warn("%d: cannot map %#llx from the page file: %s", mapper->in.pid,
		 (unsigned long long)s->address, strerror(-ret));
	if (result < 0 && ccr__remap_is_mapped(mapper->in.pid, s->address))
		return 0;
	return map_anonymous(mapper, s, is_lost);
}

static int close_fd(struct mapper *mapper)
{
	const uint64_t arguments[6] = {mapper->task_fd};
	int64_t result;

	return ccr__inject_call(&mapper->in, &result, SYS_close, arguments);
}

/* Maps the segments in order, up to the first that does not become a mapping of the file. */
static int map_segments(struct mapper *mapper, const struct remap_plan *plan, size_t *mapped)
{
	for (size_t i = 0; i < plan->nr_segments; i++) {
		const struct remap_segment *s = &plan->segments[i];
		bool is_mapped = false, is_lost = false;
		const int ret = map_segment(mapper, s, &is_mapped, &is_lost);

		if (is_lost || (ret && !ccr__remap_is_mapped(mapper->in.pid, s->address))) {
			ccr_err("killing %d: cannot restore its memory at %#llx: %s",
				mapper->in.pid, (unsigned long long)s->address, strerror(-ret));
			kill(mapper->in.pid, SIGKILL);
		}
		if (ret || !is_mapped)
			return ret;
		(*mapped)++;
	}
	return 0;
}

int ccr__remap_map(const struct remap_plan *plan, pid_t pid, int fd, size_t *mapped)
{
	struct mapper mapper = {.fd = fd};
	int ret, ended;

	*mapped = 0;
	ret = ccr__inject_begin(&mapper.in, pid);
	if (ret)
		return ret == -ENOTSUP ? 0 : ret;
	ret = ccr__inject_close_leftovers(&mapper.in);
	if (!ret)
		ret = ccr__inject_fd(&mapper.in, fd, &mapper.task_fd);
	if (!ret && mapper.task_fd >= 0) {
		ret = ccr__end_with_criu(pid, true);
		if (!ret)
			ret = map_segments(&mapper, plan, mapped);
		ended = ccr__end_with_criu(pid, false);
		if (!ret)
			ret = ended ? ended : close_fd(&mapper);
	} else if (!ret) {
		ccr_warn("%d: host memory is left to CRIU: cannot open the page file in the "
			 "process: %s",
			 pid, strerror(-mapper.task_fd));
	}
	ended = ccr__inject_end(&mapper.in);
	return ret ? ret : ended;
}
