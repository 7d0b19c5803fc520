// SPDX-License-Identifier: MIT
/*
 * Images that stay in device memory beyond one operation: prefetched, held
 * after a dump, golden. Each counts against the budget of its devices
 * (CRIU_CUDA_POOL_BUDGET_MB); the least recently used one gives way, golden
 * ones never. Empty in a helper. May be called from any thread.
 */
#ifndef CCR_POOL_STORE_H
#define CCR_POOL_STORE_H

#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#include "pool/device/pool.h"

struct load;

/* Where an image lies, and which version of it. */
struct store_identity {
	dev_t dev;
	ino_t dir, manifest;
	struct timespec mtime;
	off_t bytes;
	pid_t pid;
};

struct resident {
	struct resident *next;
	struct store_identity identity;
	char dir[PATH_MAX]; /* for people, and for drop and golden */
	const char *origin;
	bool is_golden;
	double last_used_ms;
	uint64_t bytes_on[CCR_MAX_DEVICES];
	struct load *load; /* NULL while its place is only reserved */
};

/* ---- residents.c: the list ---- */

/* 0 or -errno. */
int store_identify(int images_dir, pid_t image_pid, struct store_identity *out);
struct resident *resident_new(int images_dir, const struct store_identity *identity,
			      const char *origin, bool is_golden);
/*
 * Puts it in the list, without memory yet, in place of an older version; others
 * give way to the budget. Takes it over: -ENOSPC and freed when there is no room.
 */
int store_reserve(struct resident *resident);
/* The reserved place gets a reference of its own, or is given up for NULL. */
void store_settle(const struct store_identity *identity, struct load *load);
/* Takes a failed load out. */
void store_give_up(const struct store_identity *identity, struct load *load);
/* A reference to what is resident and unchanged, marked as used just now; NULL: none. */
struct load *store_use(const struct store_identity *identity, bool is_golden);

/* How a restore got its image. */
enum store_answer { STORE_ABSENT, STORE_CHANGED, STORE_TAKEN, STORE_GOLDEN };

/*
 * The resident image of `image_pid` in the directory, still loading perhaps, as
 * a reference of the caller's; it leaves the store unless it is golden. NULL
 * when there is none, or when the files changed since: that one is dropped.
 */
struct load *store_take(int images_dir, pid_t image_pid, enum store_answer *answer);

/* Of a directory, NULL for all; `is_forced` takes golden ones too. The number of images dropped. */
int store_drop(const char *dir, bool is_forced);
/* The number of resident images of the directory whose mark was set. */
int store_mark(const char *dir, bool is_golden);

/* Drops the least recently used image that is on the device; false when there is none to drop. */
bool store_make_room(int device);

/* For each device; 0: no limit. */
void store_set_budget(uint64_t bytes);
uint64_t store_budget(void);
/* Bytes on a device. */
uint64_t store_bytes_on(int device);
/* Images of a directory. */
int store_count(const char *dir);
/* A JSON array of what is resident. */
void store_print(FILE *out);

/* ---- prefetch.c: how images become resident ---- */

/* Loads every image of the directory and returns when they are resident. 0 or -errno. */
int store_prefetch(const char *dir, bool is_golden, char *error, size_t size);

/*
 * Keeps memory that a dump took out, whose image is written. Takes the list
 * over; -ENOSPC when the budget has no room.
 */
int store_hold(int images_dir, pid_t image_pid, struct held_list *list);

#endif
