// SPDX-License-Identifier: GPL-2.0-only
#ifndef CCR_TEST_SMAPS_FIELD_H
#define CCR_TEST_SMAPS_FIELD_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>

/* A field of the mapping that starts at the address, in bytes. */
static inline uint64_t smaps_field(pid_t pid, const char *address, const char *name)
{
	unsigned long start, end, kib = 0;
	char path[48], line[512];
	bool is_it = false;
	FILE *smaps;

	snprintf(path, sizeof(path), "/proc/%d/smaps", pid);
	smaps = fopen(path, "re");
	while (smaps && fgets(line, sizeof(line), smaps)) {
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			is_it = start == (uintptr_t)address;
		else if (is_it && !strncmp(line, name, strlen(name)))
			sscanf(line + strlen(name), ": %lu kB", &kib);
	}
	if (smaps)
		fclose(smaps);
	return kib * 1024;
}

#endif
