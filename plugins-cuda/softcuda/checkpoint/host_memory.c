// SPDX-License-Identifier: MIT
// What a Restore does with host memory of the program: it pins what is registered, and, for tests,
// reads what SOFTCUDA_RESTORE_READS names. Like all of a Restore, without locks and heap memory.
#include "softcuda/checkpoint/checkpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

// As the hardware's driver pins a page, with the list of mappings locked: where it would have to
// wait for somebody who brings in the page, it fails. For a process, only a few futex calls are
// like that. This one adds 0 to a word.
static bool pin_page(uintptr_t page)
{
	return syscall(SYS_futex, page, FUTEX_WAKE_OP_PRIVATE, 0, NULL, page,
		       FUTEX_OP(FUTEX_OP_ADD, 0, FUTEX_OP_CMP_EQ, 0)) >= 0 ||
	       errno != EFAULT;
}

CUresult ccr_pin_registered(void)
{
	const uintptr_t size = (uintptr_t)getpagesize();
	unsigned char resident;

	for (size_t i = 0; i < ccr_hosts.count; i++) {
		const struct ccr_host *host = ccr_table_at(&ccr_hosts, i);
		const uintptr_t end = host->range.base + host->range.size;

		if (!host->is_registered || host->flags & CU_MEMHOSTREGISTER_READ_ONLY)
			continue;
		for (uintptr_t page = host->range.base & ~(size - 1); page < end; page += size)
			// The program may have unmapped it, or may not write to it.
			if (!pin_page(page) && !mincore((void *)page, size, &resident))
				return CUDA_ERROR_OPERATING_SYSTEM;
	}
	return CUDA_SUCCESS;
}

static uint32_t sum_of(uint32_t sum, uintptr_t address, size_t size)
{
	for (size_t i = 0; i < size; i++)
		sum = sum * 31 + ((const volatile unsigned char *)address)[i];
	return sum;
}

CUresult ccr_read_for_test(void)
{
	const char *path = ccr_soft_settings()->reads;
	static char list[4096], out[sizeof(ccr_soft_settings()->reads) + 8];
	char *at = list, *end, line[16];
	uint32_t sum = 0;
	ssize_t length;
	int fd;

	if (!*path)
		return CUDA_SUCCESS;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	length = fd < 0 ? -1 : read(fd, list, sizeof(list) - 1);
	if (fd >= 0)
		close(fd);
	if (length < 0)
		return CUDA_SUCCESS; // nothing to read this time
	list[length] = '\0';
	for (;;) {
		const uintptr_t address = strtoull(at, &end, 16);
		const size_t size = end == at ? 0 : strtoull(end, &at, 16);

		if (!size)
			break;
		sum = sum_of(sum, address, size);
	}
	snprintf(out, sizeof(out), "%s.sum", path);
	fd = open(out, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	length = snprintf(line, sizeof(line), "%u\n", sum);
	if (fd < 0 || write(fd, line, (size_t)length) != length)
		return CUDA_ERROR_OPERATING_SYSTEM;
	close(fd);
	return CUDA_SUCCESS;
}
