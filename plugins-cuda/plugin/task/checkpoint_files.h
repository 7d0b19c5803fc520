// SPDX-License-Identifier: GPL-2.0-only
/*
 * The files that this plugin adds to CRIU's images directory, as one checkpoint:
 * its id is in every manifest, and the index cuda.img lists the processes
 * (image/index/index.h).
 */
#ifndef CCR_PLUGIN_CHECKPOINT_FILES_H
#define CCR_PLUGIN_CHECKPOINT_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "image/index/index.h"

/*
 * At init, before the watcher is started. Dump: chooses the id. Restore: checks
 * that all files that the index lists are there and can be restored; logs which
 * one is not, and the files of other checkpoints, which are ignored. Returns 0
 * or -errno.
 */
int ccr__files_begin(int stage);

/* ---- dump ---- */

/* The id for the manifests of this dump, CCR_CHECKPOINT_ID_SIZE bytes. */
const uint8_t *ccr__files_id(void);
/* Adds a name to CRIU's inventory: a restore without what has that name is refused by CRIU itself.
 * Returns 0 or -errno. */
int ccr__files_require(const char *name);
/*
 * The process is checkpointed and its files are written: lists them in the
 * index. Returns 0, or -errno: the dump must fail.
 */
int ccr__files_saved(pid_t pid);
/* An open device file is to be opened again by a restore: lists it in the index. Returns 0, or
 * -errno: the dump must fail. */
int ccr__files_add_device_file(const struct ccr_device_file *file);
/* The dump succeeded: from now on its files stay, also when criu or a script fails. */
void ccr__files_complete(void);
/*
 * In the watcher, once nothing needs the files any more: removes those of a dump
 * that failed, and does nothing after one that is complete.
 */
void ccr__files_remove(void);

/* ---- restore ---- */

/* Whether a GPU image, or host memory, of the process belongs to the checkpoint. */
bool ccr__files_have_gpu(pid_t image_pid);
bool ccr__files_have_host(pid_t image_pid);
/* Whether its GPU image is of the other kind: the driver hands its memory over. */
bool ccr__files_have_driver(pid_t image_pid);
/* The number of GPU images that belong to it: for interceptors, and for the driver. */
size_t ccr__files_nr_gpu_images(void);
size_t ccr__files_nr_driver_images(void);
/* The index of the checkpoint; NULL if it has none. */
const struct ccr_index *ccr__files_index(void);

#endif
