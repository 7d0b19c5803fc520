// SPDX-License-Identifier: GPL-2.0-only
#include "plugin/host/remap/remap.h"

#include <errno.h>
#include <sys/uio.h>
#include <unistd.h>

#include "image/checksum/checksum.h"

#define MAX_PARTS 64

static int write_parts(pid_t pid, const struct iovec *here, const struct iovec *there, size_t nr,
		       size_t bytes)
{
	const ssize_t done = process_vm_writev(pid, here, nr, there, nr, 0);

	return done < 0 ? -errno : (size_t)done == bytes ? 0 : -EFAULT;
}

int ccr__remap_write(pid_t pid, uint64_t address, const char *bytes, size_t size)
{
	const size_t page = getpagesize();
	struct iovec here[MAX_PARTS], there[MAX_PARTS];
	size_t nr = 0, total = 0;

	for (size_t at = 0; at < size; at += page) {
		if (ccr_is_zero(bytes + at, page))
			continue;
		total += page;
		if (nr && (char *)here[nr - 1].iov_base + here[nr - 1].iov_len == bytes + at) {
			here[nr - 1].iov_len += page;
			there[nr - 1].iov_len += page;
			continue;
		}
		if (nr == MAX_PARTS) {
			const int ret = write_parts(pid, here, there, nr, total - page);

			if (ret)
				return ret;
			nr = 0;
			total = page;
		}
		here[nr] = (struct iovec){(char *)bytes + at, page};
		there[nr++] = (struct iovec){(void *)(uintptr_t)(address + at), page};
	}
	return nr ? write_parts(pid, here, there, nr, total) : 0;
}
