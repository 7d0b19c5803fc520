// SPDX-License-Identifier: MIT
/*
 * Custom storage: the driver's Checkpoint and Restore of another process, which map
 * the memory of that process in this one until the operation is completed. What
 * the driver guarantees is in docs/driver-api.md. Drivers from 615 on have it.
 */
#ifndef CCR_POOL_STORAGE_H
#define CCR_POOL_STORAGE_H

#include "pool/device/device.h"

/* What is mapped: an entry per device, all of it memory of one process. */
struct storage {
	CUcheckpointOperationHandle handle; /* NULL: nothing is mapped */
	struct held_list list;
};

/*
 * The state of the process. All functions here return 0, or -errno with `error`,
 * which names the driver's call and its result; -ENODEV: the driver has no custom
 * storage, or a device of the process is not visible here. The caller must have
 * waited for pool_device_wait. A call may take as long as the driver likes.
 */
int storage_state(pid_t pid, CUprocessState *state, char *error, size_t size);
/* Checkpoint of a locked process. On failure it is locked as before, if the driver keeps its word.
 */
int storage_checkpoint(pid_t pid, struct storage *storage, char *error, size_t size);
/*
 * Restore of a process whose Checkpoint was made in this way, to the devices of
 * the map. `devices` are those on which it will have memory.
 */
int storage_restore(pid_t pid, const struct ccr_device_map *map, const int *devices,
		    uint32_t nr_devices, struct storage *storage, char *error, size_t size);
/*
 * The memory was copied: unmaps it. The process is then checkpointed, or locked
 * again. Does nothing when nothing is mapped.
 */
int storage_complete(struct storage *storage, char *error, size_t size);

#endif
