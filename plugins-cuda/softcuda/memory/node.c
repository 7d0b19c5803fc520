// SPDX-License-Identifier: MIT
// A device file, as those of the hardware driver are: <dir>/softcudactl, open in every process that
// has called cuInit or nvmlInit, and in its forked children. It is a character device without a
// driver, which any user may create (Linux 5.8). It can only be opened with O_PATH, and nothing can
// be done with it; CRIU cannot dump it without the plugin. If somebody has put a device with a
// driver there, that one is opened for reading and writing, and a page of it is mapped if it can be
// mapped. Where neither works, processes do without.
//
// Nothing here calls malloc or takes a lock.
#include "softcuda/softcuda.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/device_file.h"

#define PAGE_BYTES 4096

static int own = -1;
static void *page = MAP_FAILED;

void ccr_node_open(void)
{
	char path[256];

	if (own >= 0 || !ccr_backing_has_dir())
		return;
	snprintf(path, sizeof(path), "%s/" CCR_SOFTCUDA_NODE, ccr_soft_settings()->dir);
	(void)!mknod(path, S_IFCHR | 0600, 0);
	own = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY);
	if (own >= 0)
		page = mmap(NULL, PAGE_BYTES, PROT_READ, MAP_SHARED, own, 0);
	else
		own = open(path, O_PATH | O_CLOEXEC | O_NOFOLLOW);
}

void ccr_node_close(void)
{
	if (page != MAP_FAILED)
		munmap(page, PAGE_BYTES);
	if (own >= 0)
		close(own);
	page = MAP_FAILED;
	own = -1;
}
