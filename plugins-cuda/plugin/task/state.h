// SPDX-License-Identifier: GPL-2.0-only
/*
 * The state of the plugin inside one criu process. CRIU calls every hook from
 * its main thread, one after another: nothing here is locked.
 */
#ifndef CCR_PLUGIN_STATE_H
#define CCR_PLUGIN_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/driver/driver.h"
#include "common/log.h"
#include "common/protocol/device_map.h"
#include "common/settings/settings.h"
#include "common/status.h"
#include "plugin/task/criu_abi.h"

#define PLUGIN_NAME "cuda_plugin" /* upstream's name: images stay exchangeable */

/* One CUDA process of the tree. */
struct task {
	struct task *next;
	pid_t pid;
	pid_t restore_tid;
	CUprocessState prior; /* the state it was found in, put back unless the dump is committed */
	pid_t service_tid;    /* of the interceptor, 0 when the driver keeps the memory */
	uint32_t operation;   /* of the pool, for the service signal; 0: none */
	pid_t image_pid;      /* its pid in its own namespace, which names its image */
	bool is_saved;	      /* the pool has answered about its copy, */
	int save_result;      /* this */
	bool is_awaited;      /* it is to take its memory as soon as it runs */
	int pidfd;	      /* in the watcher */
};

struct watcher_ops;

struct plugin {
	bool enabled;
	bool in_inventory;
	bool restore_failed; /* one device restore failed: no task of the tree may run */
	struct ccr_settings settings;
	struct ccr_device_map device_map;
	struct ccr_driver driver;
	struct ccr_status status;
	struct task *tasks;
	const struct watcher_ops *watcher;
	int watcher_fd; /* our end of the socket to the watcher, -1 before the first CUDA process */
	int preinit_fd; /* the same to the preinit process, which ends when nobody has it any more
			 */
	double driver_ms, hook_ms;
};

extern struct plugin ccr__plugin;

/* Milliseconds of a clock that only goes forward. */
double ccr__now_ms(void);

#endif
