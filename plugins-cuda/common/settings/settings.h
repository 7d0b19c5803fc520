// SPDX-License-Identifier: MIT
/*
 * Every CRIU_CUDA_* setting, read once. The environment overrides the file
 * (/etc/criu/cuda.conf, or CRIU_CUDA_CONFIG), and the file overrides the default.
 * settings_list.h has the table; docs/environment.md explains each key.
 */
#ifndef CCR_SETTINGS_H
#define CCR_SETTINGS_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#define CCR_CONFIG_DEFAULT_PATH "/etc/criu/cuda.conf"

/* Memory that the interceptor does not move; AUTO: through the driver's custom storage if there is
 * one. DRIVER: all memory, and a dump fails without it. */
enum ccr_storage { CCR_STORAGE_AUTO, CCR_STORAGE_DRIVER, CCR_STORAGE_OFF };
enum ccr_handover { CCR_HANDOVER_AUTO, CCR_HANDOVER_ADOPT, CCR_HANDOVER_MAP };
enum ccr_io { CCR_IO_AUTO, CCR_IO_PREAD, CCR_IO_DIRECT, CCR_IO_MMAP };
enum ccr_sync { CCR_SYNC_AUTO, CCR_SYNC_OFF, CCR_SYNC_ON };
enum ccr_scan { CCR_SCAN_AUTO, CCR_SCAN_ON, CCR_SCAN_OFF };
/* Bits of `intercept`. */
enum { CCR_INTERCEPT_MEMORY = 1, CCR_INTERCEPT_MEMCPY = 2 };

struct ccr_settings {
	long parallel_restore;	/* bool */
	long streams;		/* transfer threads */
	long chunk_mb;		/* MiB */
	long context_pool;	/* bool */
	long hold;		/* bool */
	long pool_budget_mb;	/* MiB per device; 0: no limit */
	long remap;		/* bool */
	long remap_min_mb;	/* MiB */
	long readahead;		/* bool */
	long late_memory;	/* bool */
	long intercept;		/* the bits above */
	long intercept_debug;	/* 0..4 */
	long memcpy_min_mb;	/* MiB */
	long lock_timeout_ms;	/* milliseconds */
	long step_timeout_ms;	/* milliseconds */
	long copy_timeout_ms;	/* milliseconds */
	long undo_timeout_ms;	/* milliseconds */
	long storage;		/* enum ccr_storage */
	long storage_streams;	/* transfer threads */
	long storage_chunk_mb;	/* MiB */
	long handover;		/* enum ccr_handover */
	long verify;		/* bool */
	long wait;		/* bool */
	long force;		/* bool */
	long io;		/* enum ccr_io */
	long sync;		/* enum ccr_sync */
	long device_scan;	/* enum ccr_scan */
	char device_map[4096];	/* device_map.h */
	char driver[PATH_MAX];	/* "": the usual search */
	char run_dir[PATH_MAX]; /* absolute */

	/* Absolute; empty: none. */
	char prev_images_dir[PATH_MAX];
};

/*
 * Fills `out`. Returns 0; -EINVAL with one sentence in `error` that names the
 * key, the value and what is accepted; or -EIO when the file exists but cannot be
 * read. `path` NULL: CRIU_CUDA_CONFIG, else the default path. Only a file that is
 * named explicitly must exist.
 */
int ccr_settings_load(struct ccr_settings *out, const char *path, char *error, size_t error_size);

/* Writes the table as JSON to stdout: [{"key":...,"default":...,"type":...,"accepted":...},...]. */
void ccr_settings_print_table(void);

#endif
