// SPDX-License-Identifier: MIT
/* Description: limits that would stop a restore, and the run directory's length. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "test/look/look_test.h"

static void test_descriptors(void)
{
	fake_cuda(ROOT_PID, 0);
	for (int fd = 5; fd < 1000; fd++)
		fake_descriptor(ROOT_PID, fd, "/dev/null");
	CHECK(look_finds(""));
	for (int fd = 1000; fd < 1020; fd++)
		fake_descriptor(ROOT_PID, fd, "/dev/null");
	CHECK(look_finds("descriptors 5000000"));
	CHECK(!strcmp(detail_of(CCR_LOOK_DESCRIPTORS), "1018 of 1024"));
}

static void test_mappings(void)
{
	fake_cuda(ROOT_PID, 0);
	fake_file("proc/sys/vm/max_map_count", "1000\n");
	for (int i = 0; i < 700; i++)
		fake_map(ROOT_PID, "35b1800000-35b1820000 rw-p 00000000 00:00 0");
	CHECK(look_finds(""));
	for (int i = 0; i < 100; i++)
		fake_map(ROOT_PID, "35b1800000-35b1820000 rw-p 00000000 00:00 0");
	CHECK(look_finds("mappings 5000000"));
}

/* fake_process has 1 GiB of address space. */
static void test_address_space(void)
{
	fake_cuda(ROOT_PID, 0);
	fake_file("proc/5000000/limits", "Max address space         %llu  %llu  bytes\n", 3 * GIB,
		  3 * GIB);
	CHECK(look_finds(""));
	setenv("LOOK_TEST_NVML", "5000000:0:2147483648", 1);
	CHECK(look_finds("address-space 5000000"));
	CHECK(!strcmp(detail_of(CCR_LOOK_ADDRESS_SPACE), "RLIMIT_AS is 3.0 GiB"));
}

/* What comes back is mapped a second time, and threads reserve arenas. */
static void test_address_space_with_interceptor(void)
{
	fake_cuda(ROOT_PID, 0);
	fake_interceptor(ROOT_PID, &quiet_mailbox);
	setenv("LOOK_TEST_NVML", "5000000:0:104857600", 1);
	fake_file("proc/5000000/limits", "Max address space         %llu  %llu  bytes\n", 2 * GIB,
		  2 * GIB);
	CHECK(look_finds(""));
	fake_file("proc/5000000/limits", "Max address space         %llu  %llu  bytes\n",
		  GIB + GIB / 4, GIB + GIB / 4);
	CHECK(look_finds("address-space 5000000"));
}

static void test_run_dir(void)
{
	fake_cuda(ROOT_PID, 0);
	memset(settings.run_dir, 'x', 120);
	settings.run_dir[0] = '/';
	settings.run_dir[120] = '\0';
	CHECK(look_finds(""));
	request.uses_daemon = true;
	CHECK(look_finds("run-dir 5000000"));
	CHECK(!ccr_look_refuses(look_at(), false));
	settings.run_dir[94] = '\0'; /* 94 + "/control.sock" + NUL = 108 */
	CHECK(look_finds(""));
	settings.run_dir[94] = 'x';
	settings.run_dir[95] = '\0';
	CHECK(look_finds("run-dir 5000000"));
	settings.context_pool = 0;
	CHECK(look_finds(""));
}

/* The plugin would end criu in its init. */
static void test_refused_run_dir(void)
{
	char detail[160];

	fake_cuda(ROOT_PID, 0);
	strcpy(settings.run_dir, "/tmp/ccr-run-dir-XXXXXX");
	CHECK(mkdtemp(settings.run_dir));
	CHECK(look_finds(""));
	CHECK(!chmod(settings.run_dir, 0777));
	CHECK(look_finds("run-dir-refused 5000000"));
	snprintf(detail, sizeof(detail), "%.100s: other users may write to it (mode 0777)",
		 settings.run_dir);
	CHECK(!strcmp(detail_of(CCR_LOOK_RUN_DIR_REFUSED), detail));
	CHECK(ccr_look_refuses(look_at(), true)); /* not a guess */
	CHECK(!rmdir(settings.run_dir));
	CHECK(look_finds("")); /* it is created when it is needed */
}

int main(int argc, char **argv)
{
	void (*const tests[])(void) = {
		test_descriptors,   test_mappings,
		test_address_space, test_address_space_with_interceptor,
		test_run_dir,	    test_refused_run_dir,
	};

	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
		look_begin(argv[1]);
		tests[i]();
		look_end();
	}
	return failures ? 1 : 0;
}
