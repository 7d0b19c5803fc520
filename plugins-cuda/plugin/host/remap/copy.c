// SPDX-License-Identifier: GPL-2.0-only
/*
 * The copy to the page file: each thread takes the next chunk of the file, reads
 * the task's pages directly into it, and computes the checksum while the chunk
 * is in the CPU's cache.
 */
#include "plugin/host/remap/remap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include "common/process.h"
#include "image/checksum/checksum.h"

#define PIECE (256u << 10)

struct remap_copy {
	struct work work;
	const struct remap_plan *plan;
	pid_t pid;
	char *file; /* the page file, mapped shared */
	uint64_t *xxh3;
};

static const char zeroes[64 << 10];

static void update_zeroes(struct ccr_checksum *checksum, uint64_t size)
{
	while (size) {
		const size_t piece = size < sizeof(zeroes) ? size : sizeof(zeroes);

		ccr_checksum_update(checksum, zeroes, piece);
		size -= piece;
	}
}

/* When the file system is full, the kernel cannot write to the mapped file and returns EFAULT. */
static int read_pages(const struct remap_copy *copy, uint64_t address, uint64_t offset,
		      uint64_t size)
{
	while (size) {
		const struct iovec local = {copy->file + offset, size};
		const struct iovec remote = {(void *)(uintptr_t)address, size};
		const ssize_t done = process_vm_readv(copy->pid, &local, 1, &remote, 1, 0);

		if (done < 0 && errno != EFAULT)
			return -errno;
		if (done <= 0) /* or it has been killed meanwhile */
			return ccr_is_dying(copy->pid) ? -ESRCH : -ENOSPC;
		address += done;
		offset += done;
		size -= done;
	}
	return 0;
}

static int copy_run(const struct remap_copy *copy, const struct remap_run *run, uint64_t start,
		    uint64_t end, struct ccr_checksum *checksum)
{
	for (uint64_t at = start; at < end;) {
		const uint64_t piece = end - at < PIECE ? end - at : PIECE;
		const int ret = read_pages(copy, run->address + (at - run->offset), at, piece);

		if (ret)
			return ret;
		ccr_checksum_update(checksum, copy->file + at, piece);
		at += piece;
	}
	return 0;
}

/* Finds the first run that ends after `offset`. */
static const struct remap_run *find_run(const struct remap_plan *plan, uint64_t offset)
{
	size_t low = 0, high = plan->nr_runs;

	while (low < high) {
		const size_t middle = low + (high - low) / 2;
		const struct remap_run *run = &plan->runs[middle];

		if (run->offset + run->size <= offset)
			low = middle + 1;
		else
			high = middle;
	}
	return plan->runs + low;
}

static int copy_chunk(const struct remap_copy *copy, size_t chunk)
{
	const struct remap_plan *plan = copy->plan;
	const uint64_t start = chunk * REMAP_CHUNK;
	const uint64_t end =
		start + REMAP_CHUNK < plan->file_size ? start + REMAP_CHUNK : plan->file_size;
	const struct remap_run *run = find_run(plan, start);
	struct ccr_checksum checksum;
	uint64_t at = start;

	ccr_checksum_begin(&checksum);
	for (; run < plan->runs + plan->nr_runs && run->offset < end; run++) {
		const uint64_t from = run->offset > at ? run->offset : at;
		const uint64_t run_end = run->offset + run->size;
		const uint64_t to = run_end < end ? run_end : end;
		int ret;

		update_zeroes(&checksum, from - at);
		ret = copy_run(copy, run, from, to, &checksum);
		if (ret)
			return ret;
		at = to;
	}
	update_zeroes(&checksum, end - at);
	copy->xxh3[chunk] = ccr_checksum_end(&checksum);
	return 0;
}

static int run_piece(void *data, size_t piece, char *unused)
{
	return copy_chunk(data, piece);
}

int ccr__remap_copy_begin(struct remap_copy **out, const struct remap_plan *plan, pid_t pid, int fd,
			  uint64_t *xxh3)
{
	struct remap_copy *copy = calloc(1, sizeof(*copy));
	const size_t nr_chunks = (plan->file_size + REMAP_CHUNK - 1) / REMAP_CHUNK;

	*out = NULL;
	if (!copy)
		return -ENOMEM;
	*copy = (struct remap_copy){
		.work = {.run = run_piece, .data = copy, .nr_pieces = nr_chunks},
		.plan = plan,
		.pid = pid,
		.xxh3 = xxh3,
	};
	copy->file = mmap(NULL, plan->file_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (copy->file == MAP_FAILED) {
		const int ret = -errno;

		free(copy);
		return ret;
	}
	madvise(copy->file, plan->file_size, MADV_HUGEPAGE); /* for a tmpfs with huge=advise */
	*out = copy;
	return 0;
}

struct work *ccr__remap_copy_work(struct remap_copy *copy)
{
	return &copy->work;
}

void ccr__remap_copy_end(struct remap_copy *copy)
{
	munmap(copy->file, copy->plan->file_size);
	free(copy);
}
