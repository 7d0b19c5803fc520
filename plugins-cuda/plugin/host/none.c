// SPDX-License-Identifier: GPL-2.0-only
/* Variant `stock`: CRIU dumps all host memory. */
#include "plugin/host/host.h"

#include <errno.h>

#include "image/pages/pages.h"

int ccr__host_memory_before(pid_t pid)
{
	return 0;
}

void ccr__host_memory_populate(const struct task *task)
{
}

int ccr__host_memory_populate_end(pid_t pid)
{
	return 0;
}

bool ccr__host_memory_advance(void)
{
	return false;
}

void ccr__host_memory_roll_back(bool is_dumped)
{
}

int ccr__host_memory_undo(pid_t pid)
{
	return 0;
}

void ccr__host_memory_discard(const struct task *task)
{
}

/* No task has any, so the others are never called. */
int ccr__host_memory_open(struct host_restore **host, pid_t pid, struct host_bytes *bytes)
{
	*host = NULL;
	*bytes = (struct host_bytes){0};
	return 0;
}

int ccr__host_memory_fill(struct host_restore *host, bool driver_waits)
{
	return 0;
}

bool ccr__host_memory_is_filled(struct host_restore *host)
{
	return true;
}

int ccr__host_memory_filled(struct host_restore *host)
{
	return 0;
}

int ccr__host_memory_failure(const struct host_restore *host)
{
	return 0;
}

bool ccr__host_memory_is_late(struct host_restore *host)
{
	return false;
}

bool ccr__host_memory_is_complete(struct host_restore *host)
{
	return true;
}

int ccr__host_memory_close(struct host_restore *host, bool is_complete)
{
	return 0;
}

void ccr__host_memory_forget(void)
{
}

int ccr__host_memory_save(pid_t pid)
{
	return 0;
}

bool ccr__host_memory_is_busy(void)
{
	return false;
}

int ccr__host_memory_save_failure(void)
{
	return 0;
}

int ccr__host_memory_save_end(int failed)
{
	return failed;
}

static int refuse(int dirfd, int pid, void *data)
{
	ccr_err("this variant cannot restore the host memory in cuda-host-%d.img; install "
		"variant remap, parallel or full",
		pid);
	return -EINVAL;
}

int ccr__host_memory_load_begin(void)
{
	return ccr_pages_for_each(criu_get_image_dir(), refuse, NULL);
}
