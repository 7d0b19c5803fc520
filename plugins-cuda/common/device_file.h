/* SPDX-License-Identifier: MIT */
/*
 * The device files of the GPU driver: which open files are some, and which GPU one
 * belongs to. Only /proc is read; nothing is opened. Reentrant.
 */
#ifndef CCR_DEVICE_FILE_H
#define CCR_DEVICE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

/* The device file of the software driver, in the directory with its devices. */
#define CCR_SOFTCUDA_NODE "softcudactl"

/* Where the driver has a directory for each GPU; tests have another one. */
#define CCR_GPUS_DIR "/proc/driver/nvidia/gpus"

/*
 * True if `st` is a device of NVIDIA's driver (nvidiactl, nvidia0, nvidia-uvm,
 * nvidia-caps, ...) or of the software driver,
 * whose may also be a block device. Not those of nvidia-fs, gdrdrv and
 * InfiniBand, which have state that cannot be restored. `path` is where it is.
 */
bool ccr_device_file_is_drivers(const struct stat *st, const char *path);

/* The same for the path of a mapped file, whose device may not be here. */
bool ccr_device_path_is_drivers(const char *path);

/*
 * Finds the UUID of the GPU that the device is for. Returns false if it is not that
 * of one GPU, or the driver does not tell.
 */
bool ccr_device_file_gpu(const struct stat *st, const char *gpus, uint8_t uuid[16]);

/* The number N of that GPU's /dev/nvidiaN; -ENOENT if this machine does not have the GPU. */
int ccr_device_file_number(const char *gpus, const uint8_t uuid[16]);

#endif
