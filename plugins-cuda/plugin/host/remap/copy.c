// SPDX-License-Identifier: GPL-2.0-only
/*
 * The copy to the page file: each thread takes the next chunk of the file, reads
 * the task's pages directly into it, and computes the checksum while the chunk
 * is in the CPU's cache. What an early copy has read may have changed since then, in whatever way:
 * it is read once more and compared. That takes a fraction of the time, because most of what a copy
 * costs are the first pages of a file.
 */
#include "plugin/host/remap/remap.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/io.h"
#include "common/process.h"
#include "image/checksum/checksum.h"

#define PIECE (256u << 10)

struct remap_copy {
	struct work work;
	const struct remap_plan *plan;
	pid_t pid;
	char *file;	/* the page file, mapped shared */
	uint64_t bytes; /* of it that are mapped */
	uint64_t end;	/* of what the work is about */
	uint64_t *xxh3;
	/* of an early copy: */
	atomic_bool is_stopped;
	char *is_copied;		  /* one for each page of the file; NULL: there was none */
	atomic_ullong early_bytes, again; /* copied, and copied once more */
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

/* Whether an early copy has put the same bytes there. Pages of the file that were never written to
 * are not touched, because the file system may be full. */
static bool is_same(struct remap_copy *copy, uint64_t address, uint64_t offset, uint64_t size,
		    char *buffer)
{
	const struct iovec local = {buffer, size};
	const struct iovec remote = {(void *)(uintptr_t)address, size};
	const uint64_t page = getpagesize();

	if (!copy->is_copied || memchr(copy->is_copied + offset / page, false, size / page) ||
	    process_vm_readv(copy->pid, &local, 1, &remote, 1, 0) != (ssize_t)size)
		return false;
	if (!memcmp(buffer, copy->file + offset, size))
		return true;
	atomic_fetch_add(&copy->again, size);
	return false;
}

static int copy_part(struct remap_copy *copy, const struct remap_part *part, uint64_t start,
		     uint64_t end, struct ccr_checksum *checksum, char *buffer)
{
	for (uint64_t at = start; at < end;) {
		const uint64_t piece = end - at < PIECE ? end - at : PIECE;
		const uint64_t address = part->address + (at - part->offset);
		const bool is_there = is_same(copy, address, at, piece, buffer);
		const int ret = is_there ? 0 : read_pages(copy, address, at, piece);

		if (ret)
			return ret;
		ccr_checksum_update(checksum, is_there ? buffer : copy->file + at, piece);
		at += piece;
	}
	return 0;
}

/* Finds the first part that ends after `offset`. */
static const struct remap_part *find_part(const struct remap_plan *plan, uint64_t offset)
{
	size_t low = 0, high = plan->nr_parts;

	while (low < high) {
		const size_t middle = low + (high - low) / 2;
		const struct remap_part *part = &plan->parts[middle];

		if (part->offset + part->size <= offset)
			low = middle + 1;
		else
			high = middle;
	}
	return plan->parts + low;
}

static uint64_t chunk_end(const struct remap_copy *copy, uint64_t start)
{
	return start + REMAP_CHUNK < copy->end ? start + REMAP_CHUNK : copy->end;
}

static int copy_chunk(void *data, size_t chunk, char *buffer)
{
	struct remap_copy *copy = data;
	const struct remap_plan *plan = copy->plan;
	const uint64_t start = chunk * REMAP_CHUNK, end = chunk_end(copy, start);
	const struct remap_part *part = find_part(plan, start);
	struct ccr_checksum checksum;
	uint64_t at = start;

	ccr_checksum_begin(&checksum);
	for (; part < plan->parts + plan->nr_parts && part->offset < end; part++) {
		const uint64_t from = part->offset > at ? part->offset : at;
		const uint64_t part_end = part->offset + part->size;
		const uint64_t to = part_end < end ? part_end : end;
		int ret;

		update_zeroes(&checksum, from - at);
		ret = copy_part(copy, part, from, to, &checksum, buffer);
		if (ret)
			return ret;
		at = to;
	}
	update_zeroes(&checksum, end - at);
	copy->xxh3[chunk] = ccr_checksum_end(&checksum);
	return 0;
}

/* ---- the early copy ---- */

/* What cannot be read, because it is no longer mapped or the file system is full, is left out. */
static int copy_chunk_early(void *data, size_t chunk, char *unused)
{
	struct remap_copy *copy = data;
	const struct remap_plan *plan = copy->plan;
	const uint64_t start = chunk * REMAP_CHUNK, end = chunk_end(copy, start);
	const struct remap_part *part = find_part(plan, start);
	const uint64_t page = getpagesize();

	for (; part < plan->parts + plan->nr_parts && part->offset < end; part++) {
		const uint64_t part_end = part->offset + part->size;
		const uint64_t to = part_end < end ? part_end : end;
		uint64_t at = part->offset > start ? part->offset : start;

		while (at < to && !atomic_load(&copy->is_stopped)) {
			const uint64_t piece = to - at < PIECE ? to - at : PIECE;

			if (!read_pages(copy, part->address + (at - part->offset), at, piece)) {
				memset(copy->is_copied + at / page, true, piece / page);
				atomic_fetch_add(&copy->early_bytes, piece);
			}
			at += piece;
		}
	}
	return 0;
}

static int clear(int fd, uint64_t offset, uint64_t size)
{
	int ret = 0;

	if (!fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, size))
		return 0;
	while (!ret && size) { /* the file system has no holes */
		const size_t piece = size < sizeof(zeroes) ? size : sizeof(zeroes);

		ret = ccr_io_pwrite_full(fd, zeroes, piece, offset);
		offset += piece;
		size -= piece;
	}
	return ret;
}

/* What the early copy has written where the file has a hole now; the file may have become shorter.
 */
static int clear_rest(const struct remap_plan *early, const struct remap_plan *plan, int fd)
{
	int ret = 0;

	for (size_t i = 0; i < early->nr_parts; i++) {
		const uint64_t early_end = early->parts[i].offset + early->parts[i].size;
		const uint64_t end = early_end < plan->file_size ? early_end : plan->file_size;
		uint64_t at = early->parts[i].offset;
		const struct remap_part *part = find_part(plan, at);

		for (; !ret && at < end; part++) {
			const bool is_last = part == plan->parts + plan->nr_parts;
			const uint64_t stop = is_last || part->offset > end ? end : part->offset;

			if (stop > at)
				ret = clear(fd, at, stop - at);
			at = is_last ? end : part->offset + part->size;
		}
	}
	return ret;
}

/* ---- the work ---- */

static void set_work(struct remap_copy *copy, const struct remap_plan *plan,
		     int (*run)(void *data, size_t piece, char *buffer))
{
	copy->plan = plan;
	copy->end = plan->file_size;
	copy->work = (struct work){
		.run = run,
		.data = copy,
		.nr_pieces = (plan->file_size + REMAP_CHUNK - 1) / REMAP_CHUNK,
	};
}

static int begin(struct remap_copy **out, const struct remap_plan *plan, pid_t pid, int fd)
{
	struct remap_copy *copy = calloc(1, sizeof(*copy));

	*out = NULL;
	if (!copy)
		return -ENOMEM;
	copy->pid = pid;
	copy->bytes = plan->file_size;
	copy->file = mmap(NULL, copy->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (copy->file == MAP_FAILED) {
		const int ret = -errno;

		free(copy);
		return ret;
	}
	madvise(copy->file, copy->bytes, MADV_HUGEPAGE); /* for a tmpfs with huge=advise */
	*out = copy;
	return 0;
}

int ccr__remap_copy_begin(struct remap_copy **out, const struct remap_plan *plan, pid_t pid, int fd,
			  uint64_t *xxh3)
{
	const int ret = begin(out, plan, pid, fd);

	if (ret)
		return ret;
	(*out)->xxh3 = xxh3;
	set_work(*out, plan, copy_chunk);
	return 0;
}

int ccr__remap_copy_early(struct remap_copy **out, const struct remap_plan *early, pid_t pid,
			  int fd)
{
	int ret = begin(out, early, pid, fd);

	if (ret)
		return ret;
	set_work(*out, early, copy_chunk_early);
	(*out)->is_copied = calloc(early->file_size / getpagesize() + 1, 1);
	if ((*out)->is_copied)
		return 0;
	ccr__remap_copy_end(*out);
	*out = NULL;
	return -ENOMEM;
}

void ccr__remap_copy_stop(struct remap_copy *copy)
{
	atomic_store(&copy->is_stopped, true);
}

/* The file has become longer. */
static int grow(struct remap_copy *copy, uint64_t bytes)
{
	const uint64_t page = getpagesize();
	char *is_copied = realloc(copy->is_copied, bytes / page + 1), *file;

	if (!is_copied)
		return -ENOMEM;
	copy->is_copied = is_copied;
	memset(is_copied + copy->bytes / page, false, (bytes - copy->bytes) / page);
	file = mremap(copy->file, copy->bytes, bytes, MREMAP_MAYMOVE);
	if (file == MAP_FAILED)
		return -errno;
	copy->file = file;
	copy->bytes = bytes;
	return 0;
}

int ccr__remap_copy_again(struct remap_copy *copy, const struct remap_plan *plan, int fd,
			  uint64_t *xxh3)
{
	int ret = clear_rest(copy->plan, plan, fd);

	if (!ret && plan->file_size > copy->bytes)
		ret = grow(copy, plan->file_size);
	if (ret)
		return ret;
	copy->xxh3 = xxh3;
	set_work(copy, plan, copy_chunk);
	return 0;
}

void ccr__remap_copy_count(const struct remap_copy *copy, uint64_t *early, uint64_t *again)
{
	*early = atomic_load(&copy->early_bytes);
	*again = atomic_load(&copy->again);
}

struct work *ccr__remap_copy_work(struct remap_copy *copy)
{
	return &copy->work;
}

void ccr__remap_copy_end(struct remap_copy *copy)
{
	munmap(copy->file, copy->bytes);
	free(copy->is_copied);
	free(copy);
}
