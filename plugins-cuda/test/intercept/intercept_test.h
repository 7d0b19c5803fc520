// SPDX-License-Identifier: MIT
/*
 * For the tests of the interceptor: each is a program linked to the software
 * driver and started with LD_PRELOAD=libcuda_intercept.so, so that every cu*
 * call below goes through a stub. The pool at the other end of the socket is a
 * process of its own, the same program started again without the interceptor.
 */
#ifndef CCR_INTERCEPT_TEST_H
#define CCR_INTERCEPT_TEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>

#include "common/driver/cuda_abi.h"
#include "common/protocol/protocol.h"

#define MIB (1024ull * 1024)

#define CHECK(condition)                                                                \
	do {                                                                            \
		if (!(condition)) {                                                     \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
			exit(1);                                                        \
		}                                                                       \
	} while (0)

#define OK(call)	      check_result((call), CUDA_SUCCESS, #call, __FILE__, __LINE__)
#define FAILS(call, expected) check_result((call), expected, #call, __FILE__, __LINE__)

void check_result(CUresult result, CUresult expected, const char *call, const char *file, int line);

/*
 * Makes directories of the test's own for the software driver and the run
 * directory, before any driver call, and starts the pool process. Returns in
 * the test; the pool process never returns. Everything goes away at exit.
 */
void test_begin(int argc, char **argv);
/* cuInit and the primary context of each device, device 0 current. */
void test_cuda_begin(void);
CUcontext test_context(int device);

/* Where the pool breaks the conversation. */
enum pool_break {
	BREAK_NEVER,
	BREAK_AFTER_HELLO, /* closes */
	BREAK_AFTER_EVICT,
	BREAK_AFTER_DEVICES,
	BREAK_AFTER_HANDLES,
	BREAK_AFTER_END,
	ABORT_AFTER_HELLO, /* says ABORT */
	ABORT_AFTER_END,
	BREAK_AFTER_ATTACH,
	BREAK_MIDWAY, /* after the first HANDLES of an attach */
	FORGET_ONE,   /* an attach without the last allocation */
};

enum pool_source { SOURCE_KEPT, SOURCE_IMAGE };

enum pool_what { POOL_LISTEN, POOL_EVICT, POOL_ATTACH, POOL_COMMIT, POOL_FREE_BYTES };

struct pool_request {
	uint32_t what; /* enum pool_what */
	uint32_t operation;
	uint32_t timeout_ms;
	uint32_t mode;	 /* enum ccr_attach_mode */
	uint32_t stop;	 /* enum pool_break */
	uint32_t source; /* enum pool_source */
};

struct pool_reply {
	int32_t error; /* 0, or what the conversation ended with */
	int32_t cu_result;
	uint32_t last_type; /* of the last message received */
	uint32_t state;	    /* of HELLO */
	int32_t nspid;
	uint64_t nr_handles, bytes; /* collected */
	uint64_t free_bytes;	    /* of device 0 as the pool sees it */
	uint32_t max_fds;	    /* most descriptors in one message */
	char text[256];
};

/* Signals the service thread of this process and does what the pool should do in between. */
struct pool_reply pool_evict(uint32_t timeout_ms, enum pool_break stop);
struct pool_reply pool_attach(enum ccr_attach_mode mode, enum pool_source source,
			      enum pool_break stop);
/* The pool drops the descriptors it kept, as after a commit. */
void pool_commit(void);
/* Free memory of device 0 seen from outside. */
uint64_t pool_free_bytes(void);

/* Bytes that depend on the seed and the place. */
void fill(CUdeviceptr at, size_t bytes, uint32_t seed);
bool holds(CUdeviceptr at, size_t bytes, uint32_t seed);

pid_t service_tid(pid_t pid);
void signal_service(pid_t pid, uint32_t operation);
const char *run_dir(void);

/* intercept_pool.c */
void pool_main(int requests, int replies) __attribute__((noreturn));

#endif
