// SPDX-License-Identifier: MIT
/*
 * For the tests of the interceptor. Each is linked to the software driver and
 * started with LD_PRELOAD=libcuda_intercept.so, so that every cu* call below
 * goes through a stub. The pool is another process, which runs the same program
 * without the interceptor.
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
 * Call before any driver call. Creates directories for the software driver and
 * the run directory, and starts the pool process, in which it does not return.
 * At exit everything is removed.
 */
void test_begin(int argc, char **argv);
/* Calls cuInit and retains the primary context of each device. Device 0 is current. */
void test_cuda_begin(void);
CUcontext test_context(int device);

/* Where the pool breaks off. */
enum pool_break {
	BREAK_NEVER,
	BREAK_AFTER_HELLO, /* closes the connection */
	BREAK_AFTER_EVICT,
	BREAK_AFTER_DEVICES,
	BREAK_AFTER_HANDLES,
	BREAK_AFTER_SHARED,
	BREAK_AFTER_END,
	ABORT_AFTER_HELLO, /* sends ABORT */
	ABORT_AFTER_END,
	BREAK_AFTER_ATTACH,
	BREAK_MIDWAY, /* closes after the first HANDLES of an attach */
	FORGET_ONE,   /* attaches all but the last allocation */
	BREAK_AFTER_PLACED,
	BREAK_AFTER_EXPORT,
	BREAK_BEFORE_OPEN,
	FORGET_IMPORT, /* opens the gate without the last import */
};

enum pool_source { SOURCE_KEPT, SOURCE_IMAGE };

enum pool_what { POOL_EVICT, POOL_ATTACH, POOL_COMMIT, POOL_FREE_BYTES };

/* POOL_EVICT and POOL_ATTACH come with a connection to the service thread. */
struct pool_request {
	uint32_t what; /* enum pool_what */
	uint32_t operation;
	uint32_t timeout_ms;
	uint32_t mode;	 /* enum ccr_attach_mode */
	uint32_t stop;	 /* enum pool_break */
	uint32_t source; /* enum pool_source */
	bool is_group;	 /* the process shares memory */
};

struct pool_reply {
	int32_t error; /* 0, or the error at the end */
	int32_t cu_result;
	uint32_t last_type; /* of the last message received */
	uint32_t state;	    /* of HELLO */
	int32_t nspid;
	uint64_t nr_handles, bytes;	 /* of the memory that was collected */
	uint64_t free_bytes;		 /* of device 0, in the pool */
	uint32_t max_fds;		 /* largest number of descriptors in a message */
	uint32_t nr_imports, nr_exports; /* descriptors of shared memory that came with an evict */
	uint32_t nr_matched;		 /* imports whose export came with the same evict */
	char text[256];
};

/* Connect the service thread of this process to the pool process, which does the request. */
struct pool_reply pool_evict(uint32_t timeout_ms, enum pool_break stop);
struct pool_reply pool_attach(enum ccr_attach_mode mode, enum pool_source source,
			      enum pool_break stop);
/* Makes the pool drop the descriptors that it kept, as after a commit. */
void pool_commit(void);
/* Free memory of device 0, in the pool process. */
uint64_t pool_free_bytes(void);

/* Bytes that depend on seed and offset. */
void fill(CUdeviceptr at, size_t bytes, uint32_t seed);
bool holds(CUdeviceptr at, size_t bytes, uint32_t seed);

pid_t service_tid(pid_t pid);
/* Whether the name of this process's service thread says that the gate is closed. */
bool is_shown_gated(void);

/* Send and receive a request with a descriptor (-1: none). False at the end of file. */
void send_request(int socket, const struct pool_request *request, int fd);
bool receive_request(int socket, struct pool_request *request, int *fd);

/* pool_sharing.c: memory that the process shares with itself, in the pool process. */
void sharing_forget(void);
/* Closes the descriptors, but still knows which import is which export. */
void sharing_drop_fds(void);
void sharing_take(const struct ccr_message *message, const int *fds);
/* Whether there is something that an attach has to share, and what is known about it. */
bool sharing_needed(struct pool_reply *reply);
/* The steps of an attach after END. Returns 0 after OPEN, 1 if it broke off, or -errno. */
int sharing_attach(int connection, const struct pool_request *request);

/* pool.c */
void pool_main(int requests, int replies) __attribute__((noreturn));

#endif
