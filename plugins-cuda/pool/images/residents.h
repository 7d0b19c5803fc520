// SPDX-License-Identifier: MIT
/*
 * Images that stay in device memory beyond one operation: prefetched, held
 * after a dump, golden. Each counts against the budget of its devices
 * (CRIU_CUDA_POOL_BUDGET_MB); the least recently used one gives way, golden
 * ones never. Empty in a helper. May be called from any thread.
 */
#ifndef CCR_POOL_RESIDENTS_H
#define CCR_POOL_RESIDENTS_H

#include <limits.h>
#include <stdio.h>

#include "pool/images/identity.h"
#include "pool/images/load.h"

struct resident {
	struct resident *next;
	struct image_identity identity;
	char dir[PATH_MAX]; /* for people, and for drop and golden */
	const char *origin;
	bool is_golden;
	double last_used_ms;
	uint64_t bytes_on[CCR_MAX_DEVICES];
	struct load *load; /* NULL while its place is only reserved */
};

struct resident *resident_new(int images_dir, const struct image_identity *identity,
			      const char *origin, bool is_golden);
/*
 * Puts it in the list, without memory yet, in place of an older version; others
 * give way to the budget. Takes it over: -ENOSPC and freed when there is no room.
 */
int resident_reserve(struct resident *resident);
/* The reserved place gets a reference of its own, or is given up for NULL. */
void resident_finish(const struct image_identity *identity, struct load *load);
/* Takes a failed load out. */
void resident_give_up(const struct image_identity *identity, struct load *load);
/* A reference to what is resident and unchanged, marked as used just now; NULL: none. */
struct load *resident_use(const struct image_identity *identity, bool is_golden);

/* How a restore got its image. */
enum resident_answer { RESIDENT_ABSENT, RESIDENT_CHANGED, RESIDENT_TAKEN, RESIDENT_GOLDEN };

/*
 * The resident image of `image_pid` in the directory, still loading perhaps, as
 * a reference of the caller's; it leaves the list unless it is golden. NULL
 * when there is none, or when the files changed since: that one is dropped.
 */
struct load *resident_take(int images_dir, pid_t image_pid, enum resident_answer *answer);

/* Of a directory, NULL for all; `is_forced` takes golden ones too. The number of images dropped. */
int resident_drop(const char *dir, bool is_forced);
/* The number of resident images of the directory whose mark was set. */
int resident_mark(const char *dir, bool is_golden);

/* Drops the least recently used image that is on the device; false when there is none to drop. */
bool resident_make_room(int device);

/* For each device; 0: no limit. */
void resident_set_budget(uint64_t bytes);
uint64_t resident_budget(void);
/* Bytes on a device. */
uint64_t resident_bytes_on(int device);
/* Images of a directory. */
int resident_count(const char *dir);
/* A JSON array of what is resident. */
void resident_print(FILE *out);

#endif
