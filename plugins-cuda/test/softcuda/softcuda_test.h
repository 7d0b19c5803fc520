// SPDX-License-Identifier: MIT
// What the tests of the software driver share. A failed check prints where and ends the program.
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

// The kernels of common/kernels.h, as far as this driver reads them, and one it does not have.
#define TEST_PTX                                                  \
	".version 7.0\n.target sm_70\n.address_size 64\n"         \
	"// .entry commented_out\n/* .entry also_commented */\n"  \
	".visible .entry ccr_fill_u64(.param .u64 a){ret;}\n"     \
	".visible .entry ccr_checksum_u64(.param .u64 a){ret;}\n" \
	".visible .entry ccr_spin(.param .u64 a){ret;}\n"         \
	".visible .entry without_implementation(.param .u64 a){ret;}\n"

// A directory of this test's own for the devices, gone when the process that made it ends.
void own_devices(int count, int megabytes);
CUcontext start_device(int ordinal);
size_t free_memory(void);
CUfunction kernel(const char *name);
void fill(CUdeviceptr ptr, size_t bytes, uint64_t key, CUstream stream);
uint64_t checksum(CUdeviceptr ptr, size_t bytes);
uint64_t expected_checksum(size_t bytes, uint64_t key);
CUdeviceptr vmm_alloc(size_t bytes, bool exportable, CUmemGenericAllocationHandle *handle);

// A process under test: forked before cuInit, talking over two pipes a byte at a time.
struct child {
	pid_t pid;
	int to, from;
};

struct child start_child(void (*body)(int from, int to));
void say(int fd, char byte);
char hear(int fd); // 0 at the end of file
// What the child answers to a command.
char ask(const struct child *child, char command);
void end_child(struct child *child); // kills and reaps
CUprocessState state_of(pid_t pid);
// Runs a test in a process that has not initialised CUDA yet; fails when it does.
void in_own_process(void (*test)(void));

#endif
