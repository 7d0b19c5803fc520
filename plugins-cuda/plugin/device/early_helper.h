// SPDX-License-Identifier: GPL-2.0-only
/* The helper that the command which starts criu has started before, to load the images. */
#ifndef CCR_PLUGIN_EARLY_HELPER_H
#define CCR_PLUGIN_EARLY_HELPER_H

/*
 * Takes over the helper whose pid is in CRIU_CUDA_EARLY_HELPER, which must run `program`. Returns a
 * connection to it, or -errno: -ENOENT without that variable. One that cannot be taken over is
 * killed, as it holds device memory.
 */
int ccr__early_helper_take(const char *program);

#endif
