// SPDX-License-Identifier: MIT
/* For the tests of CUDA IPC: another process, which does what it is told. */
#ifndef CCR_INTERCEPT_IPC_OTHER_H
#define CCR_INTERCEPT_IPC_OTHER_H

#include "test/intercept/intercept_test.h"

#define BYTES (5 * MIB + 12345) /* the mapping is larger */
#define LAZY  1			/* CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS */

enum what { OPEN, CLOSE, FREE, RANGE, HOLDS, FILL, KERNEL, FORK, NUMBERS, GET };

struct command {
	enum what what;
	int device;
	unsigned int flags, seed;
	CUdeviceptr at;
	CUipcMemHandle handle;
};

struct answer {
	CUresult result;
	CUdeviceptr at;
	uint64_t size, imports, kept_imports;
	bool holds;
	CUipcMemHandle handle;
};

struct other {
	pid_t pid;
	int to, from;
};

/* In the other process; does not return. */
void other_serve(void) __attribute__((noreturn));
/* `is_plain`: without the interceptor. */
struct other other_start(const char *program, bool is_plain);
void other_end(struct other *other);
struct answer other_tell(const struct other *other, struct command command);
void fork_and_end(void);

#endif
