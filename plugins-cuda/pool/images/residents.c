// SPDX-License-Identifier: MIT
#include "pool/images/residents.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/status.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct resident *residents;
static atomic_ullong budget, last_number;

/* ---- with the lock held ---- */

static struct resident **find(const struct image_identity *identity)
{
	struct resident **link = &residents;

	while (*link && !image_is_same(&(*link)->identity, identity))
		link = &(*link)->next;
	return link;
}

static struct resident **find_entry(uint64_t number)
{
	struct resident **link = &residents;

	while (*link && (*link)->number != number)
		link = &(*link)->next;
	return link;
}

/* Removes and frees the entry. The caller gets its reference to the load. */
static struct load *unlink_resident(struct resident **link)
{
	struct resident *resident = *link;
	struct load *load = resident->load;

	*link = resident->next;
	free(resident);
	return load;
}

static uint64_t bytes_on(int device)
{
	uint64_t bytes = 0;

	for (const struct resident *r = residents; r; r = r->next)
		bytes += r->bytes_on[device];
	return bytes;
}

/* Skips images that are still loading: they are needed now, and dropping one frees nothing. */
static struct resident **least_recent(int device)
{
	struct resident **best = NULL;

	for (struct resident **link = &residents; *link; link = &(*link)->next) {
		const struct resident *r = *link;

		if (r->is_golden || !r->load || !load_has_ended(r->load) || !r->bytes_on[device])
			continue;
		if (!best || r->last_used_ms < (*best)->last_used_ms)
			best = link;
	}
	return best;
}

/* Moves images to `victims` until `wanted` fits. The caller frees them without the lock. */
static bool make_room(const struct resident *wanted, struct load **victims)
{
	const uint64_t limit = budget;

	for (int device = 0; limit && device < pool.nr_devices; device++) {
		if (wanted->bytes_on[device] > limit)
			return false;
		while (bytes_on(device) + wanted->bytes_on[device] > limit) {
			struct resident **link = least_recent(device);
			struct load *victim;

			if (!link)
				return false;
			victim = unlink_resident(link);
			victim->next = *victims;
			*victims = victim;
			atomic_fetch_add(&pool.counters.evictions, 1);
		}
	}
	return true;
}

/* Returns a new reference to a resident image with this manifest, or NULL. */
static struct load *find_manifest(const void *manifest, size_t size)
{
	for (const struct resident *r = residents; r; r = r->next)
		if (r->load && r->load->manifest && r->load->manifest_size == size &&
		    !load_missing(r->load) && !memcmp(r->load->manifest, manifest, size))
			return load_ref(r->load);
	return NULL;
}

/* For a restore: the image leaves the list, or is shared if it is golden. */
static struct load *take(struct resident **link, enum resident_answer *answer)
{
	*answer = (*link)->is_golden ? RESIDENT_GOLDEN : RESIDENT_TAKEN;
	if (!(*link)->is_golden)
		return unlink_resident(link);
	(*link)->last_used_ms = now_ms();
	return load_ref((*link)->load);
}

/* ---- without the lock ---- */

static void put_all(struct load *loads)
{
	while (loads) {
		struct load *load = loads;

		loads = load->next;
		load_put(load);
	}
}

struct resident *resident_new(int images_dir, const struct image_identity *identity,
			      const char *origin, bool is_golden)
{
	struct resident *resident = calloc(1, sizeof(*resident));

	if (!resident)
		return NULL;
	resident->number = atomic_fetch_add(&last_number, 1) + 1;
	resident->identity = *identity;
	resident->origin = origin;
	resident->is_golden = is_golden;
	resident->last_used_ms = now_ms();
	image_dir_name(images_dir, resident->dir, sizeof(resident->dir));
	return resident;
}

int resident_reserve(struct resident *resident)
{
	struct load *victims = NULL, *older = NULL;
	struct resident **link;
	bool fits;

	pthread_mutex_lock(&lock);
	link = find(&resident->identity);
	if (*link)
		older = unlink_resident(link);
	fits = make_room(resident, &victims);
	if (fits) {
		resident->next = residents;
		residents = resident;
	}
	pthread_mutex_unlock(&lock);
	put_all(victims);
	load_put(older);
	if (!fits)
		free(resident);
	return fits ? 0 : -ENOSPC;
}

void resident_finish(uint64_t number, struct load *load)
{
	struct resident **link;

	pthread_mutex_lock(&lock);
	link = find_entry(number);
	if (*link && load)
		(*link)->load = load_ref(load);
	else if (*link)
		unlink_resident(link);
	pthread_mutex_unlock(&lock);
}

void resident_rename(const struct image_identity *identity, int images_dir)
{
	struct resident *resident;

	pthread_mutex_lock(&lock);
	resident = *find(identity);
	if (resident)
		image_dir_name(images_dir, resident->dir, sizeof(resident->dir));
	pthread_mutex_unlock(&lock);
}

static struct load *take_copy(int images_dir, pid_t image_pid, enum resident_answer *answer)
{
	struct resident **link = &residents;
	struct load *load, *dropped = NULL;
	void *manifest;
	char error[256];
	size_t size;

	if (ccr_image_read_manifest(&manifest, &size, images_dir, image_pid, error, sizeof(error)))
		return NULL;
	pthread_mutex_lock(&lock);
	load = find_manifest(manifest, size);
	pthread_mutex_unlock(&lock);
	free(manifest);
	if (load && !image_is_copy(images_dir, image_pid, load->manifest, load->manifest_size)) {
		*answer = RESIDENT_CHANGED;
		load_put(load);
		return NULL;
	}
	pthread_mutex_lock(&lock);
	while (load && *link && (*link)->load != load)
		link = &(*link)->next;
	dropped = load;
	load = load && *link ? take(link, answer) : NULL; /* another restore may have taken it */
	pthread_mutex_unlock(&lock);
	load_put(dropped);
	return load;
}

struct load *resident_take(int images_dir, pid_t image_pid, enum resident_answer *answer)
{
	struct load *load = NULL, *stale = NULL;
	struct image_identity identity;
	struct resident **link;

	*answer = RESIDENT_ABSENT;
	if (image_identify(images_dir, image_pid, &identity))
		return NULL;
	pthread_mutex_lock(&lock);
	link = find(&identity);
	if (*link && (*link)->load && image_is_unchanged(&(*link)->identity, &identity))
		load = take(link, answer);
	pthread_mutex_unlock(&lock);
	if (!load)
		load = take_copy(images_dir, image_pid, answer);
	if (load)
		return load;
	pthread_mutex_lock(&lock);
	link = find(&identity);
	if (*link && (*link)->load && !image_is_unchanged(&(*link)->identity, &identity)) {
		*answer = RESIDENT_CHANGED;
		stale = unlink_resident(link);
	}
	pthread_mutex_unlock(&lock);
	load_put(stale);
	return NULL;
}

void resident_give_up(uint64_t number)
{
	struct resident **link;
	struct load *failed = NULL;

	pthread_mutex_lock(&lock);
	link = find_entry(number);
	if (*link)
		failed = unlink_resident(link);
	pthread_mutex_unlock(&lock);
	load_put(failed);
}

struct load *resident_use(const struct image_identity *identity, bool is_golden, uint64_t *number)
{
	struct resident *resident;
	struct load *load = NULL;

	pthread_mutex_lock(&lock);
	resident = *find(identity);
	if (resident && resident->load && image_is_unchanged(&resident->identity, identity)) {
		resident->last_used_ms = now_ms();
		resident->is_golden |= is_golden;
		load = load_ref(resident->load);
		*number = resident->number;
	}
	pthread_mutex_unlock(&lock);
	return load;
}

int resident_drop(const char *dir, bool is_forced)
{
	struct resident **link = &residents;
	struct load *dropped = NULL;
	int nr = 0;

	pthread_mutex_lock(&lock);
	while (*link) {
		struct load *load;

		if ((dir && strcmp((*link)->dir, dir)) || ((*link)->is_golden && !is_forced) ||
		    !(*link)->load) {
			link = &(*link)->next;
			continue;
		}
		load = unlink_resident(link);
		load->next = dropped;
		dropped = load;
		if (load_missing(load))
			load_give_up(load, "dropped before all of it had arrived");
		nr++;
	}
	pthread_mutex_unlock(&lock);
	put_all(dropped);
	return nr;
}

int resident_mark(const char *dir, bool is_golden)
{
	int nr = 0;

	pthread_mutex_lock(&lock);
	for (struct resident *r = residents; r; r = r->next)
		if (!strcmp(r->dir, dir)) {
			r->is_golden = is_golden;
			nr++;
		}
	pthread_mutex_unlock(&lock);
	return nr;
}

bool resident_make_room(int device)
{
	struct load *victim = NULL;
	struct resident **link;

	pthread_mutex_lock(&lock);
	link = least_recent(device);
	if (link)
		victim = unlink_resident(link);
	pthread_mutex_unlock(&lock);
	if (!victim)
		return false;
	load_put(victim);
	atomic_fetch_add(&pool.counters.evictions, 1);
	return true;
}

void resident_set_budget(uint64_t bytes)
{
	budget = bytes;
}

uint64_t resident_budget(void)
{
	return budget;
}

int resident_count(const char *dir)
{
	int nr = 0;

	pthread_mutex_lock(&lock);
	for (const struct resident *r = residents; r; r = r->next)
		nr += !strcmp(r->dir, dir);
	pthread_mutex_unlock(&lock);
	return nr;
}

uint64_t resident_bytes_on(int device)
{
	uint64_t bytes;

	pthread_mutex_lock(&lock);
	bytes = bytes_on(device);
	pthread_mutex_unlock(&lock);
	return bytes;
}

static const char *state_of(struct load *load)
{
	if (!load || !load_has_ended(load))
		return "loading";
	return load->result ? "failed" : "resident";
}

void resident_print(FILE *out)
{
	const double now = now_ms();
	const char *comma = "";

	fputc('[', out);
	pthread_mutex_lock(&lock);
	for (const struct resident *r = residents; r; r = r->next) {
		char dir[2 * PATH_MAX];

		fprintf(out,
			"%s{\"dir\":\"%s\",\"pid\":%d,\"origin\":\"%s\",\"golden\":%s,"
			"\"state\":\"%s\",\"memory\":\"%s\",\"bytes\":%llu,"
			"\"loaded_bytes\":%llu,\"idle_ms\":%.0f}",
			comma, ccr_status_quoted(dir, sizeof(dir), r->dir), r->identity.pid,
			r->origin, r->is_golden ? "true" : "false", state_of(r->load),
			r->load && r->load->options.in_host ? "host" : "device",
			(unsigned long long)(r->load ? r->load->list.bytes : 0),
			(unsigned long long)(r->load ? atomic_load(&r->load->copied.done_bytes)
						     : 0),
			now - r->last_used_ms);
		comma = ",";
	}
	pthread_mutex_unlock(&lock);
	fputc(']', out);
}
