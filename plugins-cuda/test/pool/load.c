// SPDX-License-Identifier: MIT
/*
 * A load does not wait for the export of its memory: an export waits for other processes that
 * create memory, as one that takes what is loaded does.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "pool/images/load.h"
#include "pool/images/save.h"
#include "test/check.h"

#define MIB	   (1ull << 20)
#define NR	   6
#define PID	   4711
#define TIMEOUT_MS 60000

static struct load *volatile loading;
static atomic_uint nr_exports;

int __real_held_export(struct held *held);
int __wrap_held_export(struct held *held);

/* Is not done before all is copied. */
int __wrap_held_export(struct held *held)
{
	const double end = now_ms() + TIMEOUT_MS;

	atomic_fetch_add(&nr_exports, 1);
	while (loading && now_ms() < end && atomic_load(&loading->copied.done_bytes) < NR * 2 * MIB)
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	CHECK(!loading || atomic_load(&loading->copied.done_bytes) == NR * 2 * MIB);
	return __real_held_export(held);
}

static struct copy_options options(void)
{
	struct copy_options o = engine_own_options();

	o.streams = 2;
	o.chunk_mb = 1;
	o.mode = CCR_ATTACH_MAP; /* each allocation is separate */
	return o;
}

static void make_image(int dir)
{
	const struct copy_options o = options();
	struct copy_progress copied = {0};
	struct held_list list = {0};
	char error[256] = "";

	for (uint64_t i = 0; i < NR; i++) {
		struct held held = {.id = i + 1,
				    .size = 2 * MIB,
				    .requested = 2 * MIB,
				    .fd = -1,
				    .address = 0x7e8040000000ull + i * 2 * MIB};

		CHECK(!held_create(&held) && !held_add(&list, &held));
	}
	CHECK(!held_map_all(&list));
	for (size_t i = 0; i < list.nr; i++)
		memset((void *)(uintptr_t)list.entries[i].mapped, 1 + (int)i, 2 * MIB);
	CHECK(!save_write(dir, PID, &list, &o, &copied, error, sizeof(error)));
	if (error[0])
		fprintf(stderr, "%s\n", error);
	held_free_all(&list);
}

int main(void)
{
	char path[] = "/tmp/ccr-load-XXXXXX", error[384] = "", command[64];
	struct copy_options o;
	struct load *load;
	ssize_t taken = 0;
	int dir, result;

	CHECK(!ccr_settings_load(&pool.settings, NULL, error, sizeof(error)) && mkdtemp(path));
	o = options();
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	pool_device_begin();
	CHECK(!pool_device_wait(error, sizeof(error)) && !pool_device_use(0));
	if (failures)
		return 1;
	make_image(dir);
	load = load_begin(dir, PID, &o, &result, error, sizeof(error));
	CHECK(load && !result);
	if (failures)
		return 1;
	loading = load;
	/* As for a process that takes its memory while the rest is loaded. */
	while (!failures && taken >= 0 && (size_t)taken < load->list.nr)
		taken = load_take_ready(load, taken);
	CHECK(taken == NR && !load_wait(load));
	CHECK(atomic_load(&nr_exports) >= NR);
	for (size_t i = 0; i < load->list.nr; i++) {
		const struct held *held = &load->list.entries[i];

		CHECK(held->fd >= 0 && held->size == 2 * MIB);
		CHECK(*(char *)(uintptr_t)load->slabs.entries[held->whole].mapped == 1 + (int)i);
	}
	loading = NULL;
	load_put(load);
	close(dir);
	snprintf(command, sizeof(command), "rm -r %s", path);
	CHECK(!system(command));
	return failures ? 1 : 0;
}
