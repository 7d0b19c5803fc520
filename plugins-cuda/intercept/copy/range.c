// SPDX-License-Identifier: MIT
/*
 * Checks host memory before it is touched: a copying thread must not crash on a
 * missing or protected page, because the driver decides what that means.
 * Checking every page costs as much as half a copy, so we first ask the kernel
 * what kind of mapping it is (since Linux 6.11; older kernels: every page).
 */
#include "intercept/copy/range.h"

#include <assert.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_POPULATE_READ /* Linux 5.14 */
#define MADV_POPULATE_READ  22
#define MADV_POPULATE_WRITE 23
#endif

/* The kernel's struct procmap_query; see include/uapi/linux/fs.h. */
struct map_query {
	uint64_t size, query_flags, query_addr;
	uint64_t vma_start, vma_end, vma_flags, vma_page_size, vma_offset, inode;
	uint32_t dev_major, dev_minor, name_size, build_id_size;
	uint64_t name_addr, build_id_addr;
};

static_assert(sizeof(struct map_query) == 104, "layout of the kernel");

#define MAP_QUERY	 _IOWR('f', 17, struct map_query)
#define MAP_IS_READABLE	 1u
#define MAP_IS_WRITEABLE 2u

bool ccr__range_is_plain(const void *memory, size_t bytes, bool is_written)
{
	const unsigned int needed =
		is_written ? MAP_IS_READABLE | MAP_IS_WRITEABLE : MAP_IS_READABLE;
	const uintptr_t end = (uintptr_t)memory + bytes;
	const int maps = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	uintptr_t at = (uintptr_t)memory;

	while (maps >= 0 && at < end) {
		struct map_query query = {.size = sizeof(query), .query_addr = at};

		if (ioctl(maps, MAP_QUERY, &query) || query.inode ||
		    (query.vma_flags & needed) != needed)
			break;
		at = query.vma_end;
	}
	if (maps >= 0)
		close(maps);
	return at >= end;
}

struct pages {
	void *from;
	size_t bytes;
};

static struct pages pages_of(const void *memory, size_t bytes)
{
	const uintptr_t page = sysconf(_SC_PAGESIZE), at = (uintptr_t)memory;
	const uintptr_t from = at & ~(page - 1), to = (at + bytes + page - 1) & ~(page - 1);

	return (struct pages){(void *)from, to - from};
}

bool ccr__range_populate(const void *memory, size_t bytes, bool is_written)
{
	const struct pages pages = pages_of(memory, bytes);

	return !madvise(pages.from, pages.bytes,
			is_written ? MADV_POPULATE_WRITE : MADV_POPULATE_READ);
}

bool ccr__range_is_resident(const void *memory, size_t bytes)
{
	const struct pages pages = pages_of(memory, bytes);
	unsigned char is_in[CCR__RANGE_MAX / 4096 + 1];
	const size_t nr = pages.bytes / sysconf(_SC_PAGESIZE);

	if (nr > sizeof(is_in) || mincore(pages.from, pages.bytes, is_in))
		return false;
	for (size_t i = 0; i < nr; i++)
		if (!(is_in[i] & 1))
			return false;
	return true;
}
