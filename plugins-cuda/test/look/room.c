// SPDX-License-Identifier: MIT
/* Description: host memory for the driver's copy, by the machine and by cgroups; space in the
 * store. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "test/look/look_test.h"

static void use_device_memory(pid_t pid, unsigned long long gib)
{
	char uses[64];

	snprintf(uses, sizeof(uses), "%d:0:%llu", pid, gib * GIB);
	setenv("LOOK_TEST_NVML", uses, 1);
}

/* JAX takes three quarters of the device at its start. */
static void test_machine(void)
{
	fake_cuda(ROOT_PID, 0);
	use_device_memory(ROOT_PID, 60);
	CHECK(look_finds(""));
	use_device_memory(ROOT_PID, 104);
	CHECK(look_finds("host-memory 5000000"));
	CHECK(!strcmp(detail_of(CCR_LOOK_HOST_MEMORY), "104.0 GiB, and 64.0 GiB are available"));
	CHECK(look_at()->device_bytes == 104 * GIB);
}

/* Images in memory take as much again while the driver's copy is written to them. */
static void test_images_in_memory(void)
{
	fake_cuda(ROOT_PID, 0);
	use_device_memory(ROOT_PID, 60);
	request.images_dir = open("/dev/shm", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK(ccr_look_refuses(look_at(), false));
	CHECK(!strcmp(detail_of(CCR_LOOK_HOST_MEMORY), "120.0 GiB, and 64.0 GiB are available"));
	close(request.images_dir);
}

static void test_interceptor(void)
{
	fake_cuda(ROOT_PID, 0);
	fake_interceptor(ROOT_PID, &quiet_mailbox);
	use_device_memory(ROOT_PID, 104);
	CHECK(look_finds("host-memory 5000000"));
	request.uses_pool = true;
	CHECK(look_finds(""));
	settings.parallel_restore = 0;
	CHECK(look_finds("host-memory 5000000"));
}

/* The limit is two levels up; page cache is free memory. */
static void test_cgroup(void)
{
	fake_cuda(ROOT_PID, 0);
	use_device_memory(ROOT_PID, 20);
	fake_file("sys/fs/cgroup/inference/memory.max", "%llu\n", 32 * GIB);
	fake_file("sys/fs/cgroup/inference/memory.current", "%llu\n", 16 * GIB);
	fake_file("sys/fs/cgroup/inference/memory.stat",
		  "anon 1\ninactive_file %llu\nactive_file 0\n", 2 * GIB);
	CHECK(look_finds("host-memory 5000000"));
	CHECK(!strcmp(detail_of(CCR_LOOK_HOST_MEMORY),
		      "20.0 GiB, and the memory limit of the cgroup /inference leaves 18.0 GiB"));
	fake_file("sys/fs/cgroup/inference/memory.stat", "inactive_file %llu\nactive_file %llu\n",
		  2 * GIB, 3 * GIB);
	CHECK(look_finds(""));
}

static void test_cgroup_version1(void)
{
	fake_cuda(ROOT_PID, 0);
	use_device_memory(ROOT_PID, 20);
	fake_file("proc/5000000/cgroup", "5:memory:/box\n0::/\n");
	fake_file("sys/fs/cgroup/memory/box/memory.limit_in_bytes", "%llu\n", 32 * GIB);
	fake_file("sys/fs/cgroup/memory/box/memory.usage_in_bytes", "%llu\n", 16 * GIB);
	CHECK(look_finds("host-memory 5000000"));
	fake_file("sys/fs/cgroup/memory/box/memory.limit_in_bytes", "9223372036854771712\n");
	CHECK(look_finds(""));
}

/* Two processes that fit alone, but not together. */
static void test_sum(void)
{
	char uses[96];

	fake_cuda(ROOT_PID, 0);
	fake_cuda(CHILD_PID, ROOT_PID);
	snprintf(uses, sizeof(uses), "%d:0:%llu %d:1:%llu", ROOT_PID, 40 * GIB, CHILD_PID,
		 40 * GIB);
	setenv("LOOK_TEST_NVML", uses, 1);
	CHECK(look_finds("host-memory 5000000"));
	CHECK(!strncmp(detail_of(CCR_LOOK_HOST_MEMORY), "80.0 GiB", strlen("80.0 GiB")));
}

static void test_store(void)
{
	fake_cuda(ROOT_PID, 0);
	request.uses_pool = true; /* so that only the store is too small */
	fake_thread(ROOT_PID, ROOT_PID + 9, "criu-cuda-svc", "S (sleeping)", 0);
	request.images_dir = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	use_device_memory(ROOT_PID, 0);
	CHECK(look_finds(""));
	use_device_memory(ROOT_PID, 1ull << 30);
	CHECK(look_finds("store-space 5000000"));
	strcpy(settings.prev_images_dir, "/tmp");
	CHECK(look_finds(""));
	/* nothing can be shared with what is not there, or on another file system */
	strcpy(settings.prev_images_dir, "/nonexistent");
	CHECK(look_finds("store-space 5000000"));
	strcpy(settings.prev_images_dir, "/proc");
	CHECK(look_finds("store-space 5000000"));
	*settings.prev_images_dir = '\0';
	close(request.images_dir);
}

/* It reports no blocks, and has what the machine has. */
static void test_store_without_limit(void)
{
	char dir[] = "/tmp/look-room-XXXXXX";

	if (!mkdtemp(dir) || mount("none", dir, "tmpfs", 0, "size=0")) {
		perror("skipped: a tmpfs without a limit");
		rmdir(dir);
		return;
	}
	fake_cuda(ROOT_PID, 0);
	request.uses_pool = true;
	fake_thread(ROOT_PID, ROOT_PID + 9, "criu-cuda-svc", "S (sleeping)", 0);
	request.images_dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	use_device_memory(ROOT_PID, 60);
	CHECK(look_finds(""));
	use_device_memory(ROOT_PID, 70);
	CHECK(look_finds("store-space 5000000"));
	CHECK(!strcmp(detail_of(CCR_LOOK_STORE_SPACE), "about 70.0 GiB, and there are 64.0 GiB"));
	close(request.images_dir);
	umount(dir);
	rmdir(dir);
}

int main(int argc, char **argv)
{
	void (*const tests[])(void) = {
		test_machine, test_images_in_memory,	test_interceptor,
		test_cgroup,  test_cgroup_version1,	test_sum,
		test_store,   test_store_without_limit,
	};

	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
		look_begin(argv[1]);
		tests[i]();
		look_end();
	}
	return failures ? 1 : 0;
}
