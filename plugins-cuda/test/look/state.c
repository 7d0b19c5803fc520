// SPDX-License-Identifier: MIT
/* Description: what runs, is stopped, is traced, is frozen or has ended; and trees without CUDA. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "test/look/look_test.h"

static void test_healthy(void)
{
	fake_cuda(ROOT_PID, 0);
	fake_cuda(CHILD_PID, ROOT_PID);
	fake_process(OTHER_PID, CHILD_PID);
	CHECK(look_finds(""));
	CHECK(look_at()->uses_cuda && look_at()->nr_pids == 3 && look_at()->nr_threads == 3);
	CHECK(!ccr_look_refuses(look_at(), false));
}

static void test_stopped(void)
{
	fake_process(ROOT_PID, 0);
	fake_cuda(CHILD_PID, ROOT_PID);
	fake_thread(CHILD_PID, CHILD_PID, "python3", "T (stopped)", 0);
	/* CRIU dumps a stopped process without CUDA. */
	fake_thread(ROOT_PID, ROOT_PID, "sh", "T (stopped)", 0);
	CHECK(look_finds("stopped 5000001"));
	CHECK(ccr_look_refuses(look_at(), true));
}

static void test_traced(void)
{
	fake_cuda(ROOT_PID, 0);
	fake_thread(ROOT_PID, ROOT_PID + 10, "worker", "S (sleeping)", 4242);
	CHECK(look_finds("traced 5000000"));
	CHECK(!strcmp(detail_of(CCR_LOOK_TRACED), "4242 traces its thread 5000010"));
}

static void test_traced_by_us(void)
{
	fake_cuda(ROOT_PID, 0);
	fake_thread(ROOT_PID, ROOT_PID, "python3", "t (tracing stop)", getpid());
	CHECK(look_finds(""));
}

static void test_frozen(void)
{
	fake_cuda(ROOT_PID, 0);
	fake_file("sys/fs/cgroup/inference/job/cgroup.events", "populated 1\nfrozen 1\n");
	CHECK(look_finds("frozen 5000000"));
}

static void test_frozen_version1(void)
{
	fake_cuda(ROOT_PID, 0);
	fake_file("proc/5000000/cgroup", "7:freezer:/box\n4:cpu,cpuacct:/\n");
	fake_file("sys/fs/cgroup/freezer/box/freezer.state", "THAWED\n");
	CHECK(look_finds(""));
	fake_file("sys/fs/cgroup/freezer/box/freezer.state", "FREEZING\n");
	CHECK(look_finds("frozen 5000000"));
}

static void test_dead(void)
{
	fake_cuda(ROOT_PID, 0);
	fake_process(CHILD_PID, ROOT_PID);
	fake_thread(CHILD_PID, CHILD_PID, "child", "Z (zombie)", 0);
	CHECK(look_finds("")); /* CRIU dumps it */
	fake_thread(CHILD_PID, CHILD_PID + 10, "thread", "S (sleeping)", 0);
	CHECK(look_finds("dead-leader 5000001"));
	fake_thread(ROOT_PID, ROOT_PID, "python3", "Z (zombie)", 0);
	CHECK(look_finds("dead-leader 5000000, dead-leader 5000001"));
}

static void test_absent(void)
{
	struct ccr_look none;

	CHECK(ccr_look_at(&request, &none) == -ESRCH);
}

/* What CRIU says itself of programs without CUDA is left to CRIU. */
static void test_without_cuda(void)
{
	fake_process(ROOT_PID, 0);
	fake_thread(ROOT_PID, ROOT_PID, "sh", "S (sleeping)", 4242);
	fake_descriptor(ROOT_PID, 5, "anon_inode:[io_uring]");
	CHECK(look_finds(""));
	CHECK(!look_at()->uses_cuda);
}

int main(int argc, char **argv)
{
	void (*const tests[])(void) = {
		test_healthy,	      test_stopped, test_traced, test_traced_by_us, test_frozen,
		test_frozen_version1, test_dead,    test_absent, test_without_cuda,
	};

	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
		look_begin(argv[1]);
		tests[i]();
		look_end();
	}
	return failures ? 1 : 0;
}
