// SPDX-License-Identifier: MIT
/* For the tests of CUDA IPC: another process, which does what it is told. */
#ifndef CCR_INTERCEPT_IPC_OTHER_H
#define CCR_INTERCEPT_IPC_OTHER_H

#include "test/intercept/intercept_test.h"
#include "test/intercept/other_process.h"

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

/* In the other process; does not return. */
void other_serve(void) __attribute__((noreturn));
struct answer other_tell(const struct other_process *other, struct command command);
void fork_and_end(void);

#endif
