// SPDX-License-Identifier: MIT
// Settings, read once from the environment.
#include "softcuda/softcuda.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct ccr_soft_settings settings;

static bool read_number(const char *name, uint64_t low, uint64_t high, uint64_t preset,
			uint64_t *value)
{
	const char *text = getenv(name);
	unsigned long long number;
	char *end;

	*value = preset;
	if (!text || !*text)
		return true;
	errno = 0;
	number = strtoull(text, &end, 10);
	if (*end || errno || *text == '-' || number < low || number > high) {
		fprintf(stderr, "softcuda: %s=%s: expected a number from %llu to %llu\n", name,
			text, (unsigned long long)low, (unsigned long long)high);
		return false;
	}
	*value = number;
	return true;
}

// The drivers that it can stand for, by branch: the API version is what cuDriverGetVersion returns.
static const struct {
	uint64_t branch;
	int version;
} drivers[] = {{580, 13000}, {610, 13030}, {615, CCR_VERSION_STORAGE}};

#define NR_DRIVERS (sizeof(drivers) / sizeof(drivers[0]))

static bool read_driver(int *version)
{
	uint64_t branch;
	bool valid = read_number("SOFTCUDA_DRIVER", 1, 9999, drivers[0].branch, &branch);

	*version = drivers[0].version;
	for (size_t i = 0; valid && i < NR_DRIVERS; i++) {
		if (drivers[i].branch != branch)
			continue;
		*version = drivers[i].version;
		return true;
	}
	if (valid)
		fprintf(stderr, "softcuda: SOFTCUDA_DRIVER=%llu: expected 580, 610 or 615\n",
			(unsigned long long)branch);
	return false;
}

static void read_settings(void)
{
	struct ccr_soft_settings *s = &settings;
	const char *dir = getenv("SOFTCUDA_DIR"), *reads = getenv("SOFTCUDA_RESTORE_READS");
	const char *waits = getenv("SOFTCUDA_WAITS");
	uint64_t devices, megabytes, version, checkpoint_ms, host_state_mib;
	int length;

	s->valid = read_number("SOFTCUDA_DEVICES", 0, CCR_MAX_DEVICES, 1, &devices);
	s->valid &= read_number("SOFTCUDA_MEMORY_MB", 2, 4u << 20, 1024, &megabytes);
	s->valid &= read_driver(&s->driver_version);
	s->valid &= read_number("SOFTCUDA_DRIVER_VERSION", 12080, 99990,
				(uint64_t)s->driver_version, &version);
	s->valid &= read_number("SOFTCUDA_CHECKPOINT_MS", 0, 60000, 0, &checkpoint_ms);
	s->valid &= read_number("SOFTCUDA_HOST_STATE_MB", 0, 4096, 0, &host_state_mib);
	snprintf(s->reads, sizeof(s->reads), "%s", reads ? reads : "");
	snprintf(s->waits, sizeof(s->waits), "%s", waits ? waits : "");
	s->checkpoint_ms = (unsigned int)checkpoint_ms;
	s->host_state_mib = host_state_mib;
	s->nr_devices = (int)devices;
	s->memory_bytes = megabytes * CCR_MIB;
	s->driver_version = (int)version;
	s->dir_is_preset = !dir || !*dir;
	if (!s->dir_is_preset)
		length = snprintf(s->dir, sizeof(s->dir), "%s", dir);
	else
		length = snprintf(s->dir, sizeof(s->dir), "/dev/shm/softcuda-%u", geteuid());
	if (length >= (int)sizeof(s->dir)) {
		fprintf(stderr, "softcuda: SOFTCUDA_DIR is longer than %zu bytes\n",
			sizeof(s->dir) - 1);
		s->valid = false;
	}
}

const struct ccr_soft_settings *ccr_soft_settings(void)
{
	pthread_once(&once, read_settings);
	return &settings;
}
