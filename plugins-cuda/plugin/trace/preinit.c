// SPDX-License-Identifier: GPL-2.0-only
/*
 * The preinit process: a background process that initializes CUDA while CRIU
 * restores the tree, and keeps it initialized until every task has its memory.
 * The driver's Restore then finds the GPU in use, which saves 0.1 s on an H200.
 * A context would not save more time, and would cost device memory. A restore
 * also works without it.
 */
#include "plugin/trace/preinit.h"
#include "plugin/task/state.h"
#include "plugin/watch/background.h"

#include <unistd.h>

static void preinit_main(int stage, int fd)
{
	char unused;

	if (ccr__plugin.driver.cuInit(0) == CUDA_SUCCESS)
		while (read(fd, &unused, 1) > 0)
			;
}

void ccr__preinit_start(void)
{
	ccr__plugin.preinit_fd =
		ccr__background_start("cuda-preinit", preinit_main, STAGE_RESTORE, NULL);
}

void ccr__preinit_passed(void)
{
	if (ccr__plugin.preinit_fd >= 0)
		close(ccr__plugin.preinit_fd);
	ccr__plugin.preinit_fd = -1;
}
