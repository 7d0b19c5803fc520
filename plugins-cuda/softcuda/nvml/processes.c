// SPDX-License-Identifier: MIT
// Finds the processes that use a device, which are those with its file open. A claim is a lock
// of a file description (backing.c), which the kernel lists in the descriptor's fdinfo. Call it
// without locks. It reads other processes only through /proc.
#include "softcuda/nvml/nvml.h"
#include "softcuda/softcuda.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

// Locks beyond the end of memory are not claims; see backing.c.
#define MEMORY_END (8ull << 40)

static uint64_t claimed(int pid, const char *fd)
{
	char path[300], line[200];
	uint64_t total = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/fdinfo/%s", pid, fd);
	file = fopen(path, "re");
	if (!file)
		return 0;
	while (fgets(line, sizeof(line), file)) {
		unsigned long long start, end;

		if (sscanf(line, "lock: %*s OFDLCK %*s %*s %*s %*s %llu %llu", &start, &end) == 2 &&
		    end < MEMORY_END)
			total += end - start + 1;
	}
	fclose(file);
	return total;
}

// Bytes that the process has claimed; -1 if it does not have the file open.
static int64_t used_by(int pid, const struct stat *device)
{
	char path[300];
	struct dirent *entry;
	int64_t total = -1;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	dir = opendir(path);
	if (!dir)
		return -1;
	while ((entry = readdir(dir))) {
		struct stat st;

		if (fstatat(dirfd(dir), entry->d_name, &st, 0) || st.st_ino != device->st_ino ||
		    st.st_dev != device->st_dev)
			continue;
		if (total < 0)
			total = 0;
		total += (int64_t)claimed(pid, entry->d_name);
	}
	closedir(dir);
	return total;
}

size_t ccr_nvml_processes(int device, struct ccr_nvml_process *out)
{
	struct dirent *entry;
	struct stat st;
	size_t count = 0;
	char path[256];
	DIR *proc;

	snprintf(path, sizeof(path), "%s/device%d.mem", ccr_soft_settings()->dir, device);
	if (stat(path, &st))
		return 0; // never used
	proc = opendir("/proc");
	if (!proc)
		return 0;
	while (count < CCR_NVML_MAX_PROCESSES && (entry = readdir(proc))) {
		const int pid = isdigit((unsigned char)entry->d_name[0]) ? atoi(entry->d_name) : 0;
		const int64_t bytes = pid ? used_by(pid, &st) : -1;

		if (bytes >= 0)
			out[count++] = (struct ccr_nvml_process){pid, (uint64_t)bytes};
	}
	closedir(proc);
	return count;
}
