// SPDX-License-Identifier: MIT
// Shared by the tests of the software driver. A failed check prints its place and exits.
#ifndef CCR_SOFTCUDA_TEST_H
#define CCR_SOFTCUDA_TEST_H

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include "common/driver/cuda_abi.h"
#include "common/kernels.h"

#define MIB  (1024ul * 1024)
#define SKIP 77

#define CHECK(condition)                                                                  \
	do {                                                                              \
		if (!(condition)) {                                                       \
			fprintf(stderr, "%s:%d: [%d] not true: %s\n", __FILE__, __LINE__, \
				getpid(), #condition);                                    \
			exit(1);                                                          \
		}                                                                         \
	} while (0)

#define RESULT_IS(call, expected)                                                                \
	do {                                                                                     \
		CUresult have_ = (call);                                                         \
		if (have_ != (expected)) {                                                       \
			fprintf(stderr, "%s:%d: [%d] %s: %s, expected %s\n", __FILE__, __LINE__, \
				getpid(), #call, ccr_cuda_error_name(have_),                     \
				ccr_cuda_error_name(expected));                                  \
			exit(1);                                                                 \
		}                                                                                \
	} while (0)

#define OK(call) RESULT_IS(call, CUDA_SUCCESS)

// The kernels of common/kernels.h, with as much PTX as this driver reads, and one that it does not
// have.
#define TEST_PTX                                                  \
	".version 7.0\n.target sm_70\n.address_size 64\n"         \
	"// .entry commented_out\n/* .entry also_commented */\n"  \
	".visible .entry ccr_fill_u64(.param .u64 a){ret;}\n"     \
	".visible .entry ccr_checksum_u64(.param .u64 a){ret;}\n" \
	".visible .entry ccr_spin(.param .u64 a){ret;}\n"         \
	".visible .entry without_implementation(.param .u64 a){ret;}\n"

// Creates a directory with devices for this test, which is removed when this process ends.
void own_devices(int count, int megabytes);
CUcontext start_device(int ordinal);
size_t free_memory(void);
CUfunction kernel(const char *name);
void fill(CUdeviceptr ptr, size_t bytes, uint64_t key, CUstream stream);
uint64_t checksum(CUdeviceptr ptr, size_t bytes);
uint64_t expected_checksum(size_t bytes, uint64_t key);
CUdeviceptr vmm_alloc(size_t bytes, bool exportable, CUmemGenericAllocationHandle *handle);

// A process under test, forked before cuInit. It exchanges single bytes with us over two pipes.
struct child {
	pid_t pid;
	int to, from;
};

struct child start_child(void (*body)(int from, int to));
void say(int fd, char byte);
char hear(int fd); // 0 at end of file
// Sends a command and returns the child's answer.
char ask(const struct child *child, char command);
void end_child(struct child *child); // kills and reaps
CUprocessState state_of(pid_t pid);
// Runs a test in a process without cuInit; fails if the test fails.
void in_own_process(void (*test)(void));

#endif
