// SPDX-License-Identifier: MIT
/* Description: the host memory that a process may still use, by the machine and by the limits of
 * its cgroups, of version 2 and 1, in a container and outside. */
#include "common/machine/memory.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "test/check.h"

#define GIB (1ull << 30)

static char root[] = "/tmp/ccr-memory-XXXXXX";

__attribute__((format(printf, 2, 3))) static void fake_file(const char *path, const char *format,
							    ...)
{
	char command[512], full[256];
	va_list args;
	FILE *file;

	snprintf(full, sizeof(full), "%s/%s", root, path);
	snprintf(command, sizeof(command), "mkdir -p $(dirname %s)", full);
	CHECK(!system(command));
	file = fopen(full, "w");
	CHECK(file);
	va_start(args, format);
	CHECK(vfprintf(file, format, args) >= 0);
	va_end(args);
	CHECK(!fclose(file));
}

static void be_in(const char *lines)
{
	char path[64];

	snprintf(path, sizeof(path), "proc/%d/cgroup", getpid());
	fake_file(path, "%s", lines);
}

static void limit(const char *dir, unsigned long long max, unsigned long long current)
{
	char path[256];

	snprintf(path, sizeof(path), "sys/fs/cgroup%s/memory.max", dir);
	fake_file(path, "%llu\n", max);
	snprintf(path, sizeof(path), "sys/fs/cgroup%s/memory.current", dir);
	fake_file(path, "%llu\n", current);
}

static bool finds(uint64_t bytes, const char *whose)
{
	const int dir = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char found[160] = "";
	const uint64_t room = ccr_memory_room(dir, found, sizeof(found));

	close(dir);
	if (room != bytes || strcmp(found, whose) != 0)
		printf("found: %llu, %s\n", (unsigned long long)room, found);
	return room == bytes && !strcmp(found, whose);
}

static void begin(void)
{
	strcpy(root + strlen(root) - 6, "XXXXXX");
	CHECK(mkdtemp(root));
	fake_file("proc/meminfo", "MemTotal: 134217728 kB\nMemAvailable:   67108864 kB\n");
}

static void test_machine(void)
{
	CHECK(finds(64 * GIB, "the machine"));
	fake_file("sys/fs/cgroup/cgroup.controllers", "memory\n");
	be_in("0::/job\n");
	fake_file("sys/fs/cgroup/job/memory.max", "max\n");
	CHECK(finds(64 * GIB, "the machine"));
	limit("/job", 128 * GIB, 1 * GIB); /* more than the machine has */
	CHECK(finds(64 * GIB, "the machine"));
}

static void test_version2(void)
{
	fake_file("sys/fs/cgroup/cgroup.controllers", "memory\n");
	be_in("0::/system.slice/pool.service\n");
	limit("/system.slice/pool.service", 8 * GIB, 3 * GIB);
	CHECK(finds(5 * GIB, "the memory limit of the cgroup /system.slice/pool.service"));
	limit("/system.slice", 9 * GIB, 7 * GIB);
	CHECK(finds(2 * GIB, "the memory limit of the cgroup /system.slice"));
	fake_file("sys/fs/cgroup/system.slice/memory.stat", "inactive_file %llu\n", 6 * GIB);
	CHECK(finds(5 * GIB, "the memory limit of the cgroup /system.slice/pool.service"));
	limit("/system.slice/pool.service", 1 * GIB, 3 * GIB); /* lowered meanwhile */
	CHECK(finds(0, "the memory limit of the cgroup /system.slice/pool.service"));
}

/* The container's cgroup is the root of its namespace, where limits are those of the container. */
static void test_container(void)
{
	fake_file("sys/fs/cgroup/cgroup.controllers", "memory\n");
	limit("", 8 * GIB, 3 * GIB);
	be_in("0::/\n");
	CHECK(finds(5 * GIB, "the memory limit of the cgroup /"));
	be_in("0::/init\n");
	CHECK(finds(5 * GIB, "the memory limit of the cgroup /"));
	be_in("0::/../other\n"); /* of another container */
	CHECK(finds(64 * GIB, "the machine"));
}

static void test_version1(void)
{
	be_in("5:memory,hugetlb:/box/a\n0::/\n");
	fake_file("sys/fs/cgroup/memory/box/memory.limit_in_bytes", "%llu\n", 32 * GIB);
	fake_file("sys/fs/cgroup/memory/box/memory.usage_in_bytes", "%llu\n", 16 * GIB);
	CHECK(finds(16 * GIB, "the memory limit of the cgroup /box"));
	fake_file("sys/fs/cgroup/memory/box/memory.limit_in_bytes", "9223372036854771712\n");
	CHECK(finds(64 * GIB, "the machine"));
	/* Docker mounts the container's own cgroup, and leaves the path that the host sees. */
	be_in("5:memory:/docker/0123\n");
	fake_file("sys/fs/cgroup/memory/memory.limit_in_bytes", "%llu\n", 4 * GIB);
	fake_file("sys/fs/cgroup/memory/memory.usage_in_bytes", "%llu\n", 1 * GIB);
	CHECK(finds(3 * GIB, "the memory limit of the cgroup /"));
}

int main(void)
{
	void (*const tests[])(void) = {test_machine, test_version2, test_container, test_version1};
	char command[64];

	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
		begin();
		tests[i]();
		snprintf(command, sizeof(command), "rm -r %s", root);
		CHECK(!system(command));
	}
	return failures ? 1 : 0;
}
