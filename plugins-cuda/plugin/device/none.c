// SPDX-License-Identifier: GPL-2.0-only
/* Variants without a pool: the driver saves and restores all device memory. */
#include "plugin/device/device.h"

#include <errno.h>

#include "plugin/task/checkpoint_files.h"

int ccr__memory_is_moved(struct task *task)
{
	task->memory.reason = "variant " CCR_VARIANT " leaves it to the driver";
	return 0;
}

int ccr__memory_quiesce(struct task *const *tasks, size_t nr)
{
	return 0;
}

int ccr__memory_evict(struct task *task)
{
	return 0;
}

int ccr__memory_locked(struct task *task)
{
	return 0;
}

int ccr__memory_saved(struct task *task)
{
	return 0;
}

int ccr__memory_roll_back(struct task *task)
{
	return 0;
}

void ccr__memory_commit(const struct task *task)
{
}

int ccr__memory_load_begin(void)
{
	if (!ccr__files_nr_gpu_images() && !ccr__files_nr_driver_images())
		return 0;
	ccr_err("this variant cannot load the GPU memory in cuda-<pid>.img; install variant "
		"parallel or full");
	return -EINVAL;
}

int ccr__memory_attach(struct task *task)
{
	return 0;
}

int ccr__memory_loaded(const struct task **failed, const char **reason)
{
	return 0;
}

int ccr__storage_begin(struct task *task)
{
	return 0;
}

int ccr__storage_checkpoint(struct task *task)
{
	return 1;
}

CUresult ccr__storage_undo(const struct task *task, const char **call)
{
	return CUDA_SUCCESS;
}

int ccr__storage_restore_begin(struct task *task, struct storage_restore **restore)
{
	*restore = NULL;
	return 0;
}

bool ccr__storage_restore_is_done(struct storage_restore *restore)
{
	return true;
}

CUresult ccr__storage_restore_end(struct storage_restore *restore, const char **call)
{
	return CUDA_SUCCESS;
}

void ccr__storage_restore_forget(struct storage_restore *restore)
{
}

int ccr__storage_fd(void)
{
	return -1;
}

bool ccr__memory_has_pool(void)
{
	return false;
}

void ccr__memory_fds(int fds[WATCHER_FDS])
{
	for (int i = 0; i < WATCHER_FDS; i++)
		fds[i] = -1;
}

void ccr__memory_fds_passed(void)
{
}

void ccr__memory_forget_fds(void)
{
}

void ccr__memory_keep_fds(const int fds[WATCHER_FDS])
{
}

int ccr__memory_poll_fd(void)
{
	return -1;
}

void ccr__memory_poll(void)
{
}

void ccr__memory_ask_again(struct task *const *tasks, size_t nr)
{
}

void ccr__memory_finish(int stage, struct task *const *tasks, size_t nr)
{
}
