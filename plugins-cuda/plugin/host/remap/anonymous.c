// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "plugin/host/remap/remap.h"
#include "plugin/host/remap/smaps.h"
#include "plugin/inject/inject.h"

static int call(struct injection *in, long number, const uint64_t arguments[6])
{
	int64_t result = 0;
	const int ret = ccr__inject_call(in, &result, number, arguments);

	return ret ? ret : result < 0 && result > -4096 ? (int)result : 0;
}

static int advise(struct injection *in, const struct remap_mapping *mapping)
{
	static const struct {
		enum mapping_flags flag;
		int advice;
	} table[] = {
		{MAPPING_DONTFORK, MADV_DONTFORK},     {MAPPING_DONTDUMP, MADV_DONTDUMP},
		{MAPPING_HUGEPAGE, MADV_HUGEPAGE},     {MAPPING_NOHUGEPAGE, MADV_NOHUGEPAGE},
		{MAPPING_SEQUENTIAL, MADV_SEQUENTIAL}, {MAPPING_RANDOM, MADV_RANDOM},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		const uint64_t arguments[6] = {mapping->address, mapping->size, table[i].advice};
		int ret;

		if (!(mapping->flags & table[i].flag))
			continue;
		ret = call(in, SYS_madvise, arguments);
		/* This kernel has no huge pages, the one that set the flag had. */
		if (ret == -EINVAL && table[i].flag & (MAPPING_HUGEPAGE | MAPPING_NOHUGEPAGE))
			ret = 0;
		if (ret)
			return ret;
	}
	return 0;
}

int ccr__remap_make_anonymous(struct injection *in, const struct remap_mapping *mapping, int prot)
{
	const int flags = MAP_ANONYMOUS | MAP_FIXED |
			  (mapping->is_shared ? MAP_SHARED : MAP_PRIVATE) |
			  (mapping->flags & MAPPING_NORESERVE ? MAP_NORESERVE : 0);
	const uint64_t arguments[6] = {mapping->address, mapping->size, prot, flags, -1, 0};
	const int ret = call(in, SYS_mmap, arguments);

	return ret ? ret : advise(in, mapping);
}
