// SPDX-License-Identifier: MIT
#include "common/machine/memory.h"

#include <stdio.h>
#include <unistd.h>

#include "common/machine/cgroup.h"

uint64_t ccr_memory_available(int root, struct text *text)
{
	uint64_t kib;

	ccr__text_read(text, TEXT_ALL, root, "proc/meminfo");
	kib = ccr__text_number(text, "MemAvailable", UINT64_MAX);
	return kib == UINT64_MAX ? kib : kib << 10;
}

uint64_t ccr_memory_room(int root, char *whose, size_t size)
{
	struct text text = {0};
	struct ccr_cgroups cgroups;
	char cgroup[512];
	uint64_t available, left;

	available = ccr_memory_available(root, &text);
	ccr_cgroups_of(&cgroups, root, getpid(), &text);
	left = ccr_cgroups_room(&cgroups, root, &text, cgroup, sizeof(cgroup));
	ccr__text_free(&text);
	if (left < available)
		snprintf(whose, size, "the memory limit of the cgroup %s", cgroup);
	else
		snprintf(whose, size, "the machine");
	return left < available ? left : available;
}
