// SPDX-License-Identifier: MIT
/*
 * Which files of an images directory belong together. All manifests of a dump
 * carry its checkpoint id, and `cuda.img`, the index, has the id and lists the
 * processes. So files that an earlier dump left in the directory are not taken
 * for those of a later one, and a missing file has a name. Functions return 0,
 * or -errno with a sentence in `error` that names the file. Reentrant.
 */
#ifndef CCR_IMAGE_INDEX_H
#define CCR_IMAGE_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "image/image.h"

#define CCR_INDEX_MAGIC		   "CCRINDEX"
#define CCR_INDEX_NAME		   "cuda.img"
#define CCR_INDEX_MAX_MEMBERS	   65536u
#define CCR_INDEX_MAX_DEVICE_FILES 65536u

struct ccr_index_member {
	int pid; /* as in the names of the files */
	bool has_gpu, has_host;
	bool is_driver; /* the GPU image has memory that the driver hands over; from ccr_index_check
			 */
};

/* An open device file of the driver, which a restore opens again. */
struct ccr_device_file {
	uint32_t id; /* CRIU's; descriptors that share the open file have the same */
	int flags;   /* of open(2) */
	uint64_t position;
	bool has_gpu;	 /* the file is that of one GPU */
	uint8_t gpu[16]; /* its UUID */
	char *path;	 /* as the process saw it */
};

struct ccr_index {
	uint8_t id[CCR_CHECKPOINT_ID_SIZE];
	size_t nr_members;
	struct ccr_index_member *members; /* sorted by pid */
	size_t nr_device_files;
	struct ccr_device_file *device_files;
};

/* Adds what the process has. Returns 0 or -ENOMEM. */
int ccr_index_add(struct ccr_index *index, const struct ccr_index_member *member);
/* Adds an open device file; copies its path. Returns 0, -ENOMEM or -E2BIG. */
int ccr_index_add_device_file(struct ccr_index *index, const struct ccr_device_file *file);
/* Replaces the index of the directory; on failure, the earlier one stays or there is none. */
int ccr_index_write(const struct ccr_index *index, int dirfd, bool sync, char *error,
		    size_t error_size);
/* Reads it. Returns -ENOENT when there is none. Free it with ccr_index_close. */
int ccr_index_open(struct ccr_index **out, int dirfd, char *error, size_t error_size);
void ccr_index_close(struct ccr_index *index); /* NULL is fine */
/* What the index says about the process; NULL: nothing of it belongs to the checkpoint. */
const struct ccr_index_member *ccr_index_find(const struct ccr_index *index, int pid);
/* The open device file with this id, or NULL. */
const struct ccr_device_file *ccr_index_find_device_file(const struct ccr_index *index,
							 uint32_t id);

/*
 * Before a restore: every file that the index lists is there, with its id, and
 * can be restored by this version. `*out` is the index, or NULL for a directory
 * without one, in which all files belong to the checkpoint. Calls `stray` for
 * each manifest of another checkpoint, which is to be ignored. Returns -ENODATA:
 * a file is missing; -EINVAL: it has another id; or the result of
 * ccr_image_open and ccr_pages_open.
 */
int ccr_index_check(struct ccr_index **out, int dirfd, void (*stray)(const char *name), char *error,
		    size_t error_size);

/*
 * After a dump that failed: removes the files with its id, and files that no
 * reader opens: those with temporary names, and those that no manifest names.
 */
void ccr_index_remove_checkpoint(int dirfd, const uint8_t id[CCR_CHECKPOINT_ID_SIZE]);
/* True when the directory has an index, or a manifest of a GPU image or of host memory. */
bool ccr_index_is_needed(int dirfd);

#endif
