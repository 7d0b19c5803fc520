// SPDX-License-Identifier: MIT
/*
 * cuda-poold: moves device memory between applications and GPU images. It has a
 * thread per run of criu (session/session.c) and one per process whose memory
 * it saves or loads (session/op_process.c). The daemon also keeps images in
 * device memory (images/residents.c). common/protocol/protocol.h describes the
 * messages.
 */
#ifndef CCR_POOL_H
#define CCR_POOL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/driver/driver_calls.h"
#include "common/log.h"
#include "common/protocol/protocol.h"
#include "common/settings/settings.h"
#include "common/status.h"

struct pool {
	struct ccr_settings settings;
	bool is_daemon; /* else a helper, for one run of criu */
	struct ccr_driver driver;
	struct ccr_cuda cuda;
	int nr_devices;
	CUcontext contexts[CCR_MAX_DEVICES];
	CUuuid uuids[CCR_MAX_DEVICES];
	/* Physical memory that the pool has references to, created or imported. */
	atomic_ullong memory_bytes[CCR_MAX_DEVICES];
	struct {
		atomic_ullong dumps, restores, roll_backs, reused, loads, prefetches, holds,
			evictions, failures, bytes_saved, bytes_attached;
	} counters;
};

extern struct pool pool;

/* Milliseconds of the monotonic clock. */
double now_ms(void);

#endif
