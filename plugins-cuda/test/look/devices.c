// SPDX-License-Identifier: MIT
/* Description: descriptors and mappings that cannot be dumped; profilers; the driver; the
 * interceptor. */
#include <string.h>

#include "test/look/look_test.h"

static void test_held(void)
{
	static const struct {
		const char *target, *reasons;
	} cases[] = {
		{"anon_inode:[io_uring]", "io-uring 5000001"},
		{"anon_inode:[perf_event]", "perf-event 5000001"},
		{"/dev/infiniband/uverbs0", "rdma 5000001"},
		{"/dev/gdrdrv", "gdrcopy 5000001"},
		{"/dev/nvidia-fs3", "nvidia-fs 5000001"},
		{"/dev/nvidia-uvm", ""}, /* opened again by a restore */
		{"/devices/softcudactl", ""},
		{"anon_inode:[eventpoll]", ""},
		{"/queue", ""},		   /* a file in the root directory */
		{"/data/device0.mem", ""}, /* not the software driver's */
	};

	fake_cuda(ROOT_PID, 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		fake_process(CHILD_PID + i, 0);
		fake_descriptor(CHILD_PID + i, 7, cases[i].target);
		fake_file("proc/5000000/task/5000000/children", "%d ", (int)(CHILD_PID + i));
		look_at();
		CHECK(look_at()->nr_reasons == !!*cases[i].reasons);
		if (*cases[i].reasons)
			CHECK(!strncmp(ccr_look_rows[look_at()->reasons[0].kind].name,
				       cases[i].reasons, strcspn(cases[i].reasons, " ")));
	}
}

/* Only the driver can bring back what is mapped there. */
static void test_mapping(void)
{
	fake_cuda(ROOT_PID, 0);
	fake_map(ROOT_PID, "7f1000000000-7f1000010000 rw-s 00000000 00:05 600 /dev/nvidia0");
	CHECK(look_finds(""));
	fake_process(CHILD_PID, 0);
	fake_map(CHILD_PID, "7f1000000000-7f1000010000 rw-s 00000000 00:05 600 /dev/nvidia0");
	fake_map(CHILD_PID, "7f0000000000-7f0000100000 r-xp 00000000 08:02 99 /usr/lib/libx.so.1");
	fake_file("proc/5000000/task/5000000/children", "%d ", CHILD_PID);
	CHECK(look_finds("device-mapping 5000001"));
	/* it was forked from a process with CUDA */
	fake_map(CHILD_PID, "7f2000000000-7f2000100000 r-xp 00000000 08:02 98 /lib/libcuda.so.1");
	CHECK(look_finds(""));
	fake_map(CHILD_PID,
		 "7f3000000000-7f3000100000 r-xp 00000000 08:02 97 /lib/libnvidia-glcore.so.580");
	CHECK(look_finds("device-mapping 5000001"));
}

static void test_all_at_once(void)
{
	fake_cuda(ROOT_PID, 0);
	fake_map(ROOT_PID,
		 "7f1000000000-7f1000010000 rw-s 10000000 00:0f 1051 anon_inode:[io_uring]");
	fake_descriptor(ROOT_PID, 7, "/dev/gdrdrv");
	fake_descriptor(ROOT_PID, 8, "/dev/infiniband/uverbs0");
	CHECK(look_finds("io-uring 5000000, rdma 5000000, gdrcopy 5000000"));
}

static void test_profiler(void)
{
	fake_cuda(ROOT_PID, 0);
	/* torch links CUPTI always, and CUPTI alone does not profile */
	fake_map(ROOT_PID, "7f1000000000-7f1000010000 r-xp 00000000 08:02 7 /opt/libcupti.so.12");
	CHECK(look_finds(""));
	fake_file("proc/5000000/environ", "A=1%cCUDA_INJECTION64_PATH=/opt/x.so%cB=2", 0, 0);
	CHECK(look_finds("profiler-guess 5000000"));
	/* A process can say that its environment has no end. */
	fake_file("proc/5000000/environ", "A=1%*cCUDA_INJECTION64_PATH=/opt/x.so", 8 << 20, 0);
	CHECK(look_finds(""));
	fake_file("proc/5000000/environ", "A=1%cCUDA_INJECTION64_PATH=/opt/x.so", 0);
	CHECK(ccr_look_refuses(look_at(), false) && !ccr_look_refuses(look_at(), true));
	fake_map(ROOT_PID,
		 "7f2000000000-7f2000010000 r-xp 00000000 08:02 8 /opt/libToolsInjection64.so");
	CHECK(look_finds("profiler 5000000"));
	CHECK(!strcmp(detail_of(CCR_LOOK_PROFILER), "libToolsInjection64.so is loaded"));
}

static void test_counters(void)
{
	fake_cuda(ROOT_PID, 0);
	fake_map(ROOT_PID, "7f1000000000-7f1000010000 r-xp 00000000 08:02 7 /opt/libcupti.so.12");
	fake_map(ROOT_PID,
		 "7f2000000000-7f2000010000 r-xp 00000000 08:02 8 /opt/libnvperf_target.so");
	CHECK(look_finds("profiler-guess 5000000"));
}

static void test_driver(void)
{
	fake_cuda(ROOT_PID, 0);
	request.driver = NULL;
	request.driver_error = "libcuda.so.1 has no cuCheckpointProcessLock";
	CHECK(look_finds("driver 5000000"));
	CHECK(!strcmp(detail_of(CCR_LOOK_DRIVER), request.driver_error));
}

static void test_service_thread(void)
{
	fake_cuda(ROOT_PID, 0);
	fake_map(ROOT_PID,
		 "7f1000000000-7f1000010000 r-xp 00000000 08:02 7 /opt/libcuda_intercept.so");
	CHECK(look_finds("")); /* stock does not need it */
	request.uses_pool = true;
	CHECK(look_finds("")); /* it uses NVML alone */
	/* A file of another file system, FUSE for one, is not read. */
	fake_map(ROOT_PID,
		 "00010000-00011000 rw-p 00000000 00:ff 5 /memfd:criu-cuda-mailbox (deleted)");
	CHECK(look_finds(""));
	fake_mailbox(ROOT_PID);
	CHECK(look_finds("service-thread 5000000"));
	CHECK(!ccr_look_refuses(look_at(), false));
	fake_file("proc/5000000/environ", "CRIU_CUDA_INTERCEPT=memcpy");
	CHECK(look_finds(""));
	fake_file("proc/5000000/environ", "CRIU_CUDA_INTERCEPT=memory,memcpy");
	fake_interceptor(ROOT_PID, &quiet_mailbox);
	CHECK(look_finds(""));
}

int main(int argc, char **argv)
{
	void (*const tests[])(void) = {
		test_held,     test_mapping, test_all_at_once,	  test_profiler,
		test_counters, test_driver,  test_service_thread,
	};

	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
		look_begin(argv[1]);
		tests[i]();
		look_end();
	}
	return failures ? 1 : 0;
}
