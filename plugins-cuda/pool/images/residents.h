// SPDX-License-Identifier: MIT
/*
 * Images that stay in device memory, or in host memory (waiting.h), beyond one operation:
 * prefetched, held after a dump, golden. Each counts against the budget of its devices
 * (CRIU_CUDA_POOL_BUDGET_MB). When the budget is full, the least recently used
 * image is dropped, but never a golden one. A helper has none. Every function
 * may be called from any thread.
 */
#ifndef CCR_POOL_RESIDENTS_H
#define CCR_POOL_RESIDENTS_H

#include <limits.h>
#include <stdio.h>

#include "pool/images/identity.h"
#include "pool/images/load.h"

struct resident {
	struct resident *next;
	uint64_t number; /* of this entry: a later one of the same image has another */
	struct image_identity identity;
	char dir[PATH_MAX]; /* shown to users; drop and golden compare it */
	const char *origin;
	bool is_golden;
	double last_used_ms;
	uint64_t bytes_on[CCR_MAX_DEVICES];
	struct load *load; /* NULL while the entry is only reserved */
};

struct resident *resident_new(int images_dir, const struct image_identity *identity,
			      const char *origin, bool is_golden);
/*
 * Adds it to the list, still without memory, instead of an older version. Drops
 * other images if the budget requires it. Takes ownership. Returns -ENOSPC and
 * frees it when there is no room.
 */
int resident_reserve(struct resident *resident);
/*
 * Stores a new reference to `load` in the reserved entry, or removes the entry for NULL. Does
 * nothing when another command has replaced the entry meanwhile.
 */
void resident_finish(uint64_t number, struct load *load);
/* Its directory has another name now. */
void resident_rename(const struct image_identity *identity, int images_dir);
/* Removes the entry, unless another command has replaced it. */
void resident_give_up(uint64_t number);
/*
 * Returns a reference to an image that is resident and unchanged, with the number of its entry, and
 * marks it as used; or NULL.
 */
struct load *resident_use(const struct image_identity *identity, bool is_golden, uint64_t *number);

/* How a restore got its image. */
enum resident_answer { RESIDENT_ABSENT, RESIDENT_CHANGED, RESIDENT_TAKEN, RESIDENT_GOLDEN };

/*
 * Returns a reference to the resident image of `image_pid` in the directory, or to one
 * of which the files there are a copy. It may still be loading. The image leaves the
 * list unless it is golden. NULL when there is none, or when its files, or those of the
 * copy, have changed; an image whose own files have changed is dropped.
 */
struct load *resident_take(int images_dir, pid_t image_pid, enum resident_answer *answer);

/*
 * Drops the images of a directory (NULL: all), with `is_forced` golden ones
 * too. Returns how many.
 */
int resident_drop(const char *dir, bool is_forced);
/* Marks the resident images of a directory as golden or not. Returns how many there are. */
int resident_mark(const char *dir, bool is_golden);

/* Drops the least recently used image on the device. False when there is none to drop. */
bool resident_make_room(int device);

/* Limit for each device; 0: unlimited. */
void resident_set_budget(uint64_t bytes);
uint64_t resident_budget(void);
/* Resident bytes on a device. */
uint64_t resident_bytes_on(int device);
/* Number of resident images of a directory. */
int resident_count(const char *dir);
/* Prints the resident images as a JSON array. */
void resident_print(FILE *out);

#endif
