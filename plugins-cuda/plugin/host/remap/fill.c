// SPDX-License-Identifier: GPL-2.0-only
/*
 * Fills emptied memory from the page file. Many threads take a chunk of the file
 * at a time, read it in pieces that stay in the CPU's cache, and write them to
 * the task; the kernel makes the pages of the task, and huge ones where the
 * mapping may have them. A chunk is compared with its checksum when all of it
 * has been read: if it is wrong, the task is not allowed to run.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "common/io.h"
#include "image/checksum/checksum.h"
#include "image/pages/pages.h"
#include "plugin/host/late/late.h"
#include "plugin/host/remap/from_file.h"
#include "plugin/host/remap/remap.h"
#include "plugin/inject/inject.h"
#include "plugin/task/state.h"
#include "plugin/threads/threads.h"

/* What is written before the driver restores the task, or late. */
struct fill_part {
	struct work work;
	struct remap_fill *fill;
	const struct ccr_pages_mapping **pieces; /* those to write, in order of offsets */
	size_t nr_pieces;
	bool is_late;
};

struct remap_fill {
	struct fill_part first, later;
	struct injection in;
	bool is_injected; /* `in` is open */
	bool driver_waits;
	pid_t pid;
	const struct ccr_pages *pages;
	int fd;
	struct from_file_list from_file;
	struct late *late; /* NULL: nothing is late */
	bool is_verified;
	uint64_t bytes;
	atomic_size_t next, wrong_chunk; /* next: of ccr__remap_fill */
	atomic_int result;		 /* the same */
};

/* ---- one chunk ---- */

/* Finds the first piece that ends after `offset`. */
static size_t find_piece(const struct fill_part *part, uint64_t offset)
{
	size_t low = 0, high = part->nr_pieces;

	while (low < high) {
		const size_t middle = low + (high - low) / 2;
		const struct ccr_pages_mapping *piece = part->pieces[middle];

		if (piece->offset + piece->size <= offset)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int write_piece(const struct fill_part *part, uint64_t address, const char *bytes,
		       size_t size)
{
	return part->is_late ? ccr__late_write(part->fill->late, address, bytes, size)
			     : ccr__remap_write(part->fill->pid, address, bytes, size);
}

/* Writes what was read at `offset` to all places in the task that it belongs to. */
static int write_pieces(const struct fill_part *part, const char *buffer, uint64_t offset,
			size_t size)
{
	const uint64_t end = offset + size;
	int ret = 0;

	for (size_t i = find_piece(part, offset);
	     !ret && i < part->nr_pieces && part->pieces[i]->offset < end; i++) {
		const struct ccr_pages_mapping *piece = part->pieces[i];
		const uint64_t from = piece->offset > offset ? piece->offset : offset;
		const uint64_t piece_end = piece->offset + piece->size;
		const uint64_t to = piece_end < end ? piece_end : end;

		ret = write_piece(part, piece->address + (from - piece->offset),
				  buffer + (from - offset), to - from);
	}
	return ret;
}

static bool is_needed(const struct fill_part *part, uint64_t start, uint64_t end)
{
	const size_t i = find_piece(part, start);

	return i < part->nr_pieces && part->pieces[i]->offset < end;
}

static int fill_chunk(const struct fill_part *part, size_t chunk, char *buffer)
{
	struct remap_fill *fill = part->fill;
	const struct ccr_pages *pages = fill->pages;
	const uint64_t start = chunk * pages->chunk_size, left = pages->size - start;
	const uint64_t end = start + (left < pages->chunk_size ? left : pages->chunk_size);
	struct ccr_checksum checksum;
	size_t first;

	if (!is_needed(part, start, end))
		return 0;
	first = find_piece(part, start);
	ccr__remap_make_huge(fill->pid, part->pieces + first, part->nr_pieces - first, start, end);
	ccr_checksum_begin(&checksum);
	for (uint64_t at = start; at < end; at += CCR_PAGES_BUFFER) {
		const size_t size = end - at < CCR_PAGES_BUFFER ? end - at : CCR_PAGES_BUFFER;
		int ret = ccr_io_pread_full(fill->fd, buffer, size, at);

		if (!ret && fill->is_verified)
			ccr_checksum_update(&checksum, buffer, size);
		if (!ret)
			ret = write_pieces(part, buffer, at, size);
		if (ret)
			return ret;
	}
	if (!fill->is_verified || ccr_checksum_end(&checksum) == pages->xxh3[chunk])
		return 0;
	atomic_store(&fill->wrong_chunk, chunk);
	return -EBADMSG;
}

static int run_piece(void *part, size_t chunk, char *buffer)
{
	return fill_chunk(part, chunk, buffer);
}

static void *fill_some(void *data)
{
	struct remap_fill *fill = data;
	char *buffer = malloc(CCR_PAGES_BUFFER);
	int ret = buffer ? 0 : -ENOMEM, none = 0;

	while (!ret && !atomic_load(&fill->result)) {
		const size_t chunk = atomic_fetch_add(&fill->next, 1);

		if (chunk >= fill->pages->nr_chunks)
			break;
		ret = fill_chunk(&fill->first, chunk, buffer);
	}
	if (ret)
		atomic_compare_exchange_strong(&fill->result, &none, ret);
	free(buffer);
	return NULL;
}

static void explain(const struct remap_fill *fill, int ret)
{
	const size_t chunk = atomic_load(&fill->wrong_chunk);

	if (ret == -EBADMSG)
		ccr_err("%s: chunk %zu at offset %llu: its xxh3 is not the one in %s: the file was "
			"changed",
			fill->pages->file, chunk,
			(unsigned long long)(chunk * fill->pages->chunk_size), fill->pages->name);
	else if (ret)
		ccr_err("%d: cannot fill its memory from %s: %s", fill->pid, fill->pages->file,
			strerror(-ret));
}

/* ---- protection ---- */

static int protect(struct injection *in, const struct ccr_pages_emptied *m, int prot)
{
	const uint64_t arguments[6] = {m->address, m->size, prot};
	int64_t result = 0;
	const int ret = ccr__inject_call(in, &result, SYS_mprotect, arguments);

	if (!ret && result)
		ccr_err("%d: cannot change the protection of its memory at %#llx: %s", in->pid,
			(unsigned long long)m->address, strerror(-(int)result));
	return ret ? ret : (int)result;
}

static bool is_writable(const struct ccr_pages_emptied *m)
{
	return !m->is_hidden && m->prot & PROT_WRITE;
}

static bool needs_injection(const struct remap_fill *fill)
{
	for (size_t i = 0; i < fill->pages->nr_emptied; i++)
		if (!is_writable(&fill->pages->emptied[i]))
			return true;
	return fill->from_file.nr;
}

/* Makes all of it writable. */
static int unprotect(struct remap_fill *fill)
{
	const struct ccr_pages *pages = fill->pages;
	int ret;

	ret = ccr__inject_begin(&fill->in, fill->pid);
	if (ret)
		return ret;
	fill->is_injected = true;
	ret = ccr__from_file_replace(&fill->from_file, &fill->in);
	for (size_t i = 0; !ret && i < pages->nr_emptied; i++)
		if (!is_writable(&pages->emptied[i]))
			ret = protect(&fill->in, &pages->emptied[i],
				      pages->emptied[i].prot | PROT_READ | PROT_WRITE);
	return ret;
}

static int protect_again(struct remap_fill *fill)
{
	const struct ccr_pages *pages = fill->pages;
	int ret = 0;

	for (size_t i = 0; !ret && i < pages->nr_emptied; i++)
		if (!(pages->emptied[i].prot & PROT_WRITE))
			ret = protect(&fill->in, &pages->emptied[i], pages->emptied[i].prot);
	return ret ? ret : ccr__from_file_protect(&fill->from_file, &fill->in);
}

/* ---- what to write ---- */

static int by_offset(const void *a, const void *b)
{
	const struct ccr_pages_mapping *left = *(const struct ccr_pages_mapping *const *)a,
				       *right = *(const struct ccr_pages_mapping *const *)b;

	return (left->offset > right->offset) - (left->offset < right->offset);
}

static void add_piece(struct fill_part *part, const struct ccr_pages_mapping *piece)
{
	part->pieces[part->nr_pieces++] = piece;
	part->fill->bytes += piece->size;
}

static void make_work(struct fill_part *part)
{
	if (part->nr_pieces)
		qsort(part->pieces, part->nr_pieces, sizeof(*part->pieces), by_offset);
	part->work = (struct work){.run = run_piece,
				   .data = part,
				   .nr_pieces = part->fill->pages->nr_chunks,
				   .can_wait = part->is_late || !part->fill->driver_waits};
}

static int choose_pieces(struct remap_fill *fill)
{
	const struct ccr_pages *pages = fill->pages;
	const size_t most = pages->nr_mappings + fill->from_file.nr + 1;

	fill->first.pieces = calloc(2 * most, sizeof(*fill->first.pieces));
	if (!fill->first.pieces)
		return -ENOMEM;
	fill->later.pieces = fill->first.pieces + most;
	fill->first.fill = fill->later.fill = fill;
	fill->later.is_late = true;
	for (size_t i = 0; i < pages->nr_mappings; i++) {
		const size_t at = ccr_pages_find_emptied(pages, pages->mappings[i].address);

		if (at < pages->nr_emptied)
			add_piece(fill->late && pages->emptied[at].may_be_late ? &fill->later
									       : &fill->first,
				  &pages->mappings[i]);
	}
	for (size_t i = 0; i < fill->from_file.nr; i++)
		add_piece(&fill->first, &fill->from_file.list[i].piece);
	make_work(&fill->first);
	make_work(&fill->later);
	return 0;
}

/* Some of the memory may be late only if the driver's restore comes next. */
static int prepare(struct remap_fill *fill)
{
	const bool is_wanted = fill->driver_waits && ccr__late_is_wanted(fill->pages);
	int ret;

	ret = ccr__from_file_find(&fill->from_file, fill->pid, fill->pages);
	if (!ret && (is_wanted || needs_injection(fill)))
		ret = unprotect(fill);
	if (ret == -ENOTSUP && !needs_injection(fill))
		ret = 0;
	if (!ret && is_wanted && fill->is_injected) {
		ret = ccr__late_begin(&fill->late, &fill->in, fill->pages, fill->fd);
		ret = ret == -ENOTSUP ? 0 : ret;
	}
	return ret ? ret : choose_pieces(fill);
}

int ccr__remap_fill_begin(struct remap_fill **out, pid_t pid, const struct ccr_pages *pages, int fd,
			  bool driver_waits)
{
	struct remap_fill *fill = calloc(1, sizeof(*fill));
	struct remap_filled unused;
	int ret;

	*out = NULL;
	if (!fill)
		return -ENOMEM;
	fill->pid = pid;
	fill->pages = pages;
	fill->fd = fd;
	fill->driver_waits = driver_waits;
	fill->is_verified = ccr__plugin.settings.verify;
	ret = prepare(fill);
	if (ret)
		ccr__remap_fill_end(fill, -ECANCELED, &unused);
	else
		*out = fill;
	return ret;
}

struct work *ccr__remap_fill_work(struct remap_fill *fill)
{
	return &fill->first.work;
}

struct work *ccr__remap_fill_late_work(struct remap_fill *fill)
{
	return fill->late ? &fill->later.work : NULL;
}

int ccr__remap_fill_failure(const struct remap_fill *fill)
{
	return fill->late ? ccr__late_failure(fill->late) : 0;
}

int ccr__remap_fill_first_end(struct remap_fill *fill, int ret)
{
	int ended = 0;

	if (ret != -ECANCELED)
		explain(fill, ret);
	if (!ret && fill->is_injected)
		ret = protect_again(fill);
	if (fill->is_injected)
		ended = ccr__inject_end(&fill->in);
	fill->is_injected = false;
	return ret ? ret : ended;
}

/* `ret`: of the later part. */
static int end_late(struct remap_fill *fill, int ret, struct remap_filled *filled)
{
	struct late_account account = {0};

	if (ret) {
		ccr__late_abandon(fill->late);
		if (ret != -ECANCELED)
			explain(fill, ret);
		return ret;
	}
	ret = ccr__late_end(fill->late, &account);
	filled->faults = account.faults;
	for (size_t i = 0; i < fill->later.nr_pieces; i++)
		filled->late += fill->later.pieces[i]->size;
	return ret;
}

int ccr__remap_fill_end(struct remap_fill *fill, int ret, struct remap_filled *filled)
{
	int ended = 0;

	*filled = (struct remap_filled){.bytes = fill->bytes};
	if (fill->is_injected)
		ended = ccr__remap_fill_first_end(fill, -ECANCELED);
	if (fill->late)
		ret = end_late(fill, ret, filled);
	free(fill->first.pieces); /* and those of the other part */
	free(fill->from_file.list);
	free(fill);
	return ret ? ret : ended;
}

int ccr__remap_fill(pid_t pid, const struct ccr_pages *pages, int fd, uint64_t *bytes)
{
	struct remap_filled filled;
	struct remap_fill *fill;
	int ret;

	*bytes = 0;
	ret = ccr__remap_fill_begin(&fill, pid, pages, fd, false);
	if (ret)
		return ret;
	ccr__remap_threads(fill_some, fill);
	ret = ccr__remap_fill_first_end(fill, atomic_load(&fill->result));
	ret = ccr__remap_fill_end(fill, ret, &filled);
	*bytes = filled.bytes;
	return ret;
}
