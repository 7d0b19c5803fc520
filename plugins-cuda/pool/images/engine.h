// SPDX-License-Identifier: MIT
/*
 * Between memory in the pool's hands and GPU images: engine.c, save.c and
 * load.c are the only files that know the transfer engine. All of it may be
 * called from any thread.
 */
#ifndef CCR_POOL_ENGINE_H
#define CCR_POOL_ENGINE_H

#include "pool/device/device.h"
#include "transfer/transfer.h"

/* Of one operation, as the plugin sent them. */
struct copy_options {
	uint32_t streams, chunk_mb, verify, io;
	/* load */
	enum ccr_attach_mode mode;
	struct ccr_device_map map;
};

/*
 * The one engine of the process, made on first use for `devices` with the
 * streams and the chunk size of `options`; later ones get it as it is. 0 or
 * -errno with `error`.
 */
int engine_get(struct cuda_parallel_engine **engine, const struct copy_options *options,
	       const int *devices, uint32_t nr_devices, char *error, size_t size);
/* The engine's configuration with verify and io of `options`. */
struct cuda_parallel_config engine_config(const struct cuda_parallel_engine *engine,
					  const struct copy_options *options);
/* Those of the pool's own settings. */
struct copy_options engine_own_options(void);

#endif
