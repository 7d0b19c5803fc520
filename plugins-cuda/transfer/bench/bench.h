// SPDX-License-Identifier: MIT
/* Between the files of ccr-transfer-bench. Failures end the program: it is a tool, run by hand. */
#ifndef CCR_TRANSFER_BENCH_H
#define CCR_TRANSFER_BENCH_H

#include "transfer/transfer.h"

struct bench_options {
	const char *dir, *driver;
	uint64_t size;
	uint32_t allocations, devices, iterations;
	uint32_t zero_percent;
	uint32_t json, sync, cold, raw, keep, vmm, link; /* bool */
	struct cuda_parallel_config config;
};

struct bench_memory {
	const struct ccr_cuda *cuda;
	struct cuda_parallel_range *ranges;
	CUmemGenericAllocationHandle *handles; /* vmm */
	uint32_t nr, nr_devices;
	uint32_t zero_percent;
	CUcontext *contexts;   /* per device */
	CUdeviceptr *scratch;  /* per device: the random bytes */
	unsigned char *random; /* host copy of them */
	unsigned char *window; /* pinned, for checking */
};

/* tools.c */
__attribute__((noreturn, format(printf, 1, 2))) void bench_die(const char *format, ...);
/* Ends the program when `result` is not CUDA_SUCCESS. */
void bench_cuda(CUresult result, const char *call);
double bench_now(void);

/* options.c: ends the program with code 2 for wrong use. */
void bench_parse_options(struct bench_options *options, int argc, char **argv);

/* content.c */
void bench_allocate(struct bench_memory *memory, const struct bench_options *options);
void bench_fill(struct bench_memory *memory);
/* Overwrites everything, so that nothing can be right by chance. */
void bench_clear(struct bench_memory *memory);
/* Compares every piece (full) or one in sixteen and both ends; the number of bytes compared. */
uint64_t bench_check(struct bench_memory *memory, bool full);
void bench_free(struct bench_memory *memory);

/* Without images. GB/s; page_faults is the first touch of ordinary memory by one thread. */
struct bench_link {
	double pinned, pageable, page_faults;
};

/* link.c: host memory to the first device; overwrites the first range. */
void bench_measure_link(const struct bench_memory *memory, struct bench_link *link);

/* raw.c: GB/s of `threads` threads that read the stripes one after the other, O_DIRECT where
 * the file system has it, into ordinary memory. */
double bench_raw_read(const struct ccr_image *image, uint32_t threads);

#endif
