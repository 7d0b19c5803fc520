// SPDX-License-Identifier: MIT
/* See copy_test.h. */
#include "test/elapsed.h"
#include "test/intercept/copy/copy_test.h"

#include <dirent.h>
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#define POPULATE_READ 22 /* MADV_POPULATE_READ, Linux 5.14 */

void copy_settings(void)
{
	setenv("CRIU_CUDA_MEMCPY_MIN_MB", "1", 1);
	setenv("CRIU_CUDA_STREAMS", "4", 1);
}

int copy_unsupported(void)
{
	void *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int ret;

	CHECK(page != MAP_FAILED);
	ret = madvise(page, 4096, POPULATE_READ);
	munmap(page, 4096);
	if (!ret)
		return 0;
	fprintf(stderr, "skipped: this kernel has no MADV_POPULATE_READ\n");
	return 77;
}

int copy_threads(void)
{
	DIR *dir = opendir("/proc/self/task");
	struct dirent *entry;
	int nr = 0;

	CHECK(dir);
	while ((entry = readdir(dir))) {
		char path[64], comm[32];
		FILE *file;

		snprintf(path, sizeof(path), "/proc/self/task/%.16s/comm", entry->d_name);
		file = fopen(path, "re");
		if (!file)
			continue;
		nr += fgets(comm, sizeof(comm), file) && !strcmp(comm, COPY_COMM "\n");
		fclose(file);
	}
	closedir(dir);
	return nr;
}

/* Only these anonymous mappings have 4 MiB and are not inherited by children. */
int copy_buffers(void)
{
	FILE *file = fopen("/proc/self/smaps", "re");
	bool is_anonymous = false, has_size = false;
	char line[512];
	int nr = 0;

	CHECK(file);
	while (fgets(line, sizeof(line), file)) {
		unsigned long size, inode;

		if (sscanf(line, "%*x-%*x %*s %*x %*x:%*x %lu", &inode) == 1)
			is_anonymous = !inode;
		else if (sscanf(line, "Size: %lu kB", &size) == 1)
			has_size = size == 4096;
		else if (!strncmp(line, "VmFlags:", 8))
			nr += is_anonymous && has_size && strstr(line, " dc");
	}
	fclose(file);
	return nr;
}

void copy_threads_gone(void)
{
	while (copy_threads())
		sched_yield();
}

void copy_threads_told(void)
{
	struct timespec start;

	clock_gettime(CLOCK_MONOTONIC, &start);
	copy_threads_gone();
	CHECK(ms_since(&start) < 4500); /* without being told, they end after 5 s without work */
}

void copy_threads_release(void)
{
	struct pool_reply r = pool_evict(60000, BREAK_NEVER);

	CHECK(!r.error && r.last_type == CCR_MSG_DONE);
	copy_threads_told();
	CHECK(!copy_buffers());
	r = pool_attach(CCR_ATTACH_ADOPT, SOURCE_KEPT, BREAK_NEVER);
	CHECK(!r.error && r.last_type == CCR_MSG_DONE);
	pool_commit();
}

static uint32_t value(size_t i, uint32_t seed)
{
	const uint32_t x = ((uint32_t)i ^ seed << 20) * 0x9e3779b9u + seed;

	return x ^ x >> 15;
}

/* Writes words for speed. A byte depends on its offset, not on its address. */
void pattern(char *at, size_t bytes, uint32_t seed)
{
	size_t i;

	for (i = 0; i + 4 <= bytes; i += 4) {
		const uint32_t word = value(i, seed);

		memcpy(at + i, &word, 4);
	}
	for (; i < bytes; i++)
		at[i] = value(i, seed);
}

bool has_pattern(const char *at, size_t bytes, uint32_t seed)
{
	size_t i;

	for (i = 0; i + 4 <= bytes; i += 4) {
		const uint32_t word = value(i, seed);

		if (memcmp(at + i, &word, 4))
			return false;
	}
	for (; i < bytes; i++)
		if (at[i] != (char)value(i, seed))
			return false;
	return true;
}
