// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory mapped from page files becomes anonymous again. A private file mapping
 * reads like anonymous memory but behaves differently: MADV_DONTNEED brings back
 * the file's bytes where a program expects zeroes, mremap can grow it into the
 * bytes that follow in the file, MADV_FREE fails. So a task has page-file
 * mappings only while it is stopped. Many threads fill the new memory elsewhere
 * in the task, then it is moved to its address: the bytes are mapped there at
 * every moment.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/io.h"
#include "image/checksum/checksum.h"
#include "image/pages/pages.h"
#include "plugin/inject/inject.h"
#include "plugin/task/state.h"
#include "plugin/task/restore_thread.h"
#include "plugin/host/remap/remap.h"
#include "plugin/host/remap/smaps.h"

#define CHUNK	  (2u << 20) /* a thread takes one at a time */
#define PIECE	  (256u << 10)
#define PIECE_MAX (PIECE / 4096) /* pages, at most */
#define HUGE_PAGE (2ull << 20)
#define MAX_FILES 64

/* /proc/PID/pagemap */
#define PAGEMAP_PRESENT (1ull << 63)
#define PAGEMAP_SWAPPED (1ull << 62)
#define PAGEMAP_FILE	(1ull << 61)

struct piece {
	uint64_t address, size, offset;
	uint64_t target; /* where the new memory is filled */
	uint64_t end;	 /* number of chunks in this piece and all before it */
	int prot, fd;
	unsigned int advice;
	bool is_shared;
};

struct undo {
	struct injection in;
	const struct ccr_pages *pages;
	struct piece *list;
	size_t nr, room;
	struct {
		uint64_t inode;
		int fd;
	} files[MAX_FILES];
	size_t nr_files;
	int pagemap;
	size_t page;
	uint64_t area, area_size; /* the address range with all targets */
	atomic_ullong next;
	atomic_int result;
};

/* ---- the pieces ---- */

/* Opens the file itself, also when it has been unlinked. */
static int open_file(struct undo *undo, const struct mapping *m)
{
	char path[96];
	size_t i = 0;

	while (i < undo->nr_files && undo->files[i].inode != m->inode)
		i++;
	if (i < undo->nr_files)
		return undo->files[i].fd;
	if (i == MAX_FILES)
		return -EMFILE;
	snprintf(path, sizeof(path), "/proc/%d/map_files/%llx-%llx", undo->in.pid,
		 (unsigned long long)m->start, (unsigned long long)m->end);
	undo->files[i].inode = m->inode;
	undo->files[i].fd = open(path, O_RDONLY | O_CLOEXEC);
	if (undo->files[i].fd < 0)
		return -errno;
	undo->nr_files++;
	return undo->files[i].fd;
}

static int add(struct undo *undo, const struct mapping *m, int fd, uint64_t start, uint64_t end,
	       bool is_shared)
{
	struct piece *piece;

	if (start >= end)
		return 0;
	if (undo->nr == undo->room) {
		const size_t room = undo->room ? undo->room * 2 : 64;
		void *bigger = realloc(undo->list, room * sizeof(*undo->list));

		if (!bigger)
			return -ENOMEM;
		undo->list = bigger;
		undo->room = room;
	}
	piece = &undo->list[undo->nr++];
	*piece = (struct piece){.address = start,
				.size = end - start,
				.offset = m->offset + (start - m->start),
				.prot = m->prot,
				.fd = fd,
				.advice = m->advice,
				.is_shared = is_shared};
	piece->end = (undo->nr > 1 ? piece[-1].end : 0) + (piece->size + CHUNK - 1) / CHUNK;
	return 0;
}

/* Adds a mapping without what is the driver's. Neighbors in the file may have been merged. */
static int add_mapping(const struct mapping *m, void *data)
{
	struct undo *undo = data;
	uint64_t at = m->start;
	int fd, ret = 0;

	if (!m->is_page_file)
		return 0;
	fd = open_file(undo, m);
	if (fd < 0)
		return fd;
	for (size_t i = 0; !ret && i < undo->pages->nr_mappings; i++) {
		const struct ccr_pages_mapping *saved = &undo->pages->mappings[i];
		const uint64_t saved_end = saved->address + saved->size;
		const uint64_t start = saved->address > at ? saved->address : at;
		const uint64_t end = saved_end < m->end ? saved_end : m->end;

		if (start >= end || !(saved->is_drivers || saved->is_shared))
			continue;
		ret = add(undo, m, fd, at, start, false);
		if (!ret && saved->is_shared)
			ret = add(undo, m, fd, start, end, true);
		at = end;
	}
	return ret ? ret : add(undo, m, fd, at, m->end, false);
}

/* ---- the new memory ---- */

static int call(struct undo *undo, long number, const uint64_t arguments[6], uint64_t *result)
{
	int64_t value = 0;
	const int ret = ccr__inject_call(&undo->in, &value, number, arguments);

	if (result)
		*result = value;
	return ret ? ret : value < 0 && value > -4096 ? (int)value : 0;
}

/* Reserves one area for all targets; each has the same alignment to huge pages as its piece. */
static int make_area(struct undo *undo)
{
	uint64_t end = 0,
		 arguments[6] = {
			 0,  0, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
			 -1, 0};
	int ret;

	for (size_t i = 0; i < undo->nr; i++)
		end += undo->list[i].size + HUGE_PAGE;
	undo->area_size = arguments[1] = end + HUGE_PAGE;
	ret = call(undo, SYS_mmap, arguments, &undo->area);
	end = undo->area;
	for (size_t i = 0; !ret && i < undo->nr; i++) {
		struct piece *piece = &undo->list[i];

		piece->target = end + (piece->address - end) % HUGE_PAGE;
		end = piece->target + piece->size;
	}
	return ret;
}

/* Maps each target separately, so that the kernel accounts for the memory as before. */
static int make_target(struct undo *undo, const struct piece *piece)
{
	const int flags = (piece->is_shared ? MAP_SHARED : MAP_PRIVATE) |
			  (piece->advice & REMAP_NORESERVE ? MAP_NORESERVE : 0);
	const uint64_t arguments[6] = {piece->target,
				       piece->size,
				       PROT_READ | PROT_WRITE,
				       MAP_ANONYMOUS | MAP_FIXED | flags,
				       -1,
				       0};
	const int ret = call(undo, SYS_mmap, arguments, NULL);

	return ret ? ret : ccr__remap_advise(&undo->in, piece->target, piece->size, piece->advice);
}

/* ---- filling ---- */

/* Reads the pages that the task has changed since they were mapped from the file. */
static int read_changed_pages(const struct undo *undo, uint64_t address, char *buffer, size_t size)
{
	uint64_t words[PIECE_MAX];
	const int ret = ccr_io_pread_full(undo->pagemap, words, size / undo->page * sizeof(*words),
					  address / undo->page * sizeof(*words));

	for (size_t i = 0; !ret && i < size / undo->page; i++) {
		const struct iovec here = {buffer + i * undo->page, undo->page};
		const struct iovec there = {(void *)(uintptr_t)(address + i * undo->page),
					    undo->page};

		if (!(words[i] & PAGEMAP_SWAPPED) &&
		    (!(words[i] & PAGEMAP_PRESENT) || words[i] & PAGEMAP_FILE))
			continue;
		if (process_vm_readv(undo->in.pid, &here, 1, &there, 1, 0) != (ssize_t)undo->page)
			return -EFAULT;
	}
	return ret;
}

/* Writes only pages that are not zero, so that holes stay holes. */
static int write_target(const struct undo *undo, uint64_t target, char *buffer, size_t size)
{
	struct iovec here[PIECE_MAX], there[PIECE_MAX];
	size_t nr = 0, bytes = 0;
	ssize_t done;

	for (size_t at = 0; at < size; at += undo->page) {
		if (ccr_is_zero(buffer + at, undo->page))
			continue;
		bytes += undo->page;
		if (nr && (char *)here[nr - 1].iov_base + here[nr - 1].iov_len == buffer + at) {
			here[nr - 1].iov_len += undo->page;
			there[nr - 1].iov_len += undo->page;
			continue;
		}
		here[nr] = (struct iovec){buffer + at, undo->page};
		there[nr++] = (struct iovec){(void *)(uintptr_t)(target + at), undo->page};
	}
	done = nr ? process_vm_writev(undo->in.pid, here, nr, there, nr, 0) : 0;
	return done < 0 ? -errno : (size_t)done == bytes ? 0 : -ENOMEM;
}

static int fill_chunk(const struct undo *undo, const struct piece *piece, uint64_t chunk,
		      char *buffer)
{
	const uint64_t start = chunk * CHUNK;
	const uint64_t end = start + CHUNK < piece->size ? start + CHUNK : piece->size;
	int ret = 0;

	for (uint64_t at = start; !ret && at < end; at += PIECE) {
		const size_t size = end - at < PIECE ? end - at : PIECE;

		ret = ccr_io_pread_full(piece->fd, buffer, size, piece->offset + at);
		if (!ret)
			ret = read_changed_pages(undo, piece->address + at, buffer, size);
		if (!ret)
			ret = write_target(undo, piece->target + at, buffer, size);
	}
	return ret;
}

static void *fill_some(void *data)
{
	struct undo *undo = data;
	char *buffer = malloc(PIECE);
	uint64_t number = atomic_fetch_add(&undo->next, 1);
	int ret = buffer ? 0 : -ENOMEM, none = 0;

	for (size_t i = 0; !ret && i < undo->nr;) {
		const struct piece *piece = &undo->list[i];
		const uint64_t first = i ? piece[-1].end : 0;

		if (number >= piece->end) {
			i++;
			continue;
		}
		if (atomic_load(&undo->result))
			break;
		ret = fill_chunk(undo, piece, number - first, buffer);
		number = atomic_fetch_add(&undo->next, 1);
	}
	if (ret)
		atomic_compare_exchange_strong(&undo->result, &none, ret);
	free(buffer);
	return NULL;
}

/* ---- moving ---- */

static int move(struct undo *undo, const struct piece *piece)
{
	const uint64_t protect[6] = {piece->target, piece->size, piece->prot};
	const uint64_t remap[6] = {piece->target, piece->size, piece->size,
				   MREMAP_MAYMOVE | MREMAP_FIXED, piece->address};
	int ret = 0;

	if (piece->prot != (PROT_READ | PROT_WRITE))
		ret = call(undo, SYS_mprotect, protect, NULL);
	if (ret)
		return ret;
	ret = call(undo, SYS_mremap, remap, NULL);
	if (ret && piece->prot & PROT_READ && !ccr__remap_is_mapped(undo->in.pid, piece->address)) {
		ccr_err("killing %d: cannot restore its memory at %#llx: %s", undo->in.pid,
			(unsigned long long)piece->address, strerror(-ret));
		kill(undo->in.pid, SIGKILL);
	}
	return ret;
}

static int replace(struct undo *undo)
{
	uint64_t unmap[6] = {0};
	int ret, unmapped;

	ret = make_area(undo);
	if (ret)
		return ret;
	for (size_t i = 0; !ret && i < undo->nr; i++)
		ret = make_target(undo, &undo->list[i]);
	if (!ret) {
		ccr__remap_threads(fill_some, undo);
		ret = atomic_load(&undo->result);
	}
	for (size_t i = 0; !ret && i < undo->nr; i++)
		ret = move(undo, &undo->list[i]);
	unmap[0] = undo->area;
	unmap[1] = undo->area_size;
	unmapped = call(undo, SYS_munmap, unmap, NULL);
	return ret ? ret : unmapped;
}

int ccr__remap_undo(pid_t pid, const struct ccr_pages *pages, uint64_t *bytes)
{
	struct undo undo = {
		.in = {.pid = pid}, .pages = pages, .pagemap = -1, .page = getpagesize()};
	char path[48];
	int ret, ended;

	*bytes = 0;
	snprintf(path, sizeof(path), "/proc/%d/pagemap", pid);
	undo.pagemap = open(path, O_RDONLY | O_CLOEXEC);
	ret = undo.pagemap < 0 ? -errno : ccr__smaps_for_each(pid, add_mapping, &undo);
	if (ret || !undo.nr)
		goto out;
	ret = ccr__inject_begin(&undo.in, pid);
	if (ret)
		goto out;
	ret = ccr__end_with_criu(pid, true);
	if (!ret)
		ret = replace(&undo);
	ended = ccr__end_with_criu(pid, false);
	if (!ret)
		ret = ended;
	ended = ccr__inject_end(&undo.in);
	if (!ret)
		ret = ended;
	for (size_t i = 0; !ret && i < undo.nr; i++)
		*bytes += undo.list[i].size;
out:
	for (size_t i = 0; i < undo.nr_files; i++)
		close(undo.files[i].fd);
	if (undo.pagemap >= 0)
		close(undo.pagemap);
	free(undo.list);
	return ret;
}
