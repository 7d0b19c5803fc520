// SPDX-License-Identifier: MIT
/* Internal header of ccr-transfer-bench. A failure ends the program, since it is run by hand. */
#ifndef CCR_TRANSFER_BENCH_H
#define CCR_TRANSFER_BENCH_H

#include "transfer/transfer.h"

struct bench_options {
	const char *dir, *driver;
	uint64_t size;
	uint32_t allocations, devices, iterations;
	uint32_t zero_percent, sparse;
	uint32_t json, sync, cold, raw, keep, vmm, link; /* used as bool */
	struct cuda_parallel_config config;
};

struct bench_memory {
	const struct ccr_cuda *cuda;
	struct cuda_parallel_range *ranges;
	CUmemGenericAllocationHandle *handles; /* only with --vmm */
	uint32_t nr, nr_devices;
	uint32_t zero_percent, sparse;
	CUcontext *contexts;   /* per device */
	CUdeviceptr *scratch;  /* per device: a copy of `random` */
	unsigned char *random; /* the random bytes, on the host */
	unsigned char *window; /* pinned, for comparing content */
};

/* tools.c */
__attribute__((noreturn, format(printf, 1, 2))) void bench_die(const char *format, ...);
/* Ends the program when `result` is not CUDA_SUCCESS. */
void bench_cuda(CUresult result, const char *call);
double bench_now(void);

/* options.c: exits with code 2 on a usage error. */
void bench_parse_options(struct bench_options *options, int argc, char **argv);

/* content.c */
void bench_allocate(struct bench_memory *memory, const struct bench_options *options);
void bench_fill(struct bench_memory *memory);
/* Overwrites all content, so that a missing copy cannot go unnoticed. */
void bench_clear(struct bench_memory *memory);
/* Compares every piece (full), or one in 16 and both ends. Returns the number of bytes compared. */
uint64_t bench_check(struct bench_memory *memory, bool full);
void bench_free(struct bench_memory *memory);

/*
 * Speed without images, in GB/s. page_faults: one thread touches ordinary
 * memory for the first time.
 */
struct bench_link {
	double pinned, pageable, page_faults;
};

/* link.c: measures copies from host memory to the first device. Overwrites the first range. */
void bench_measure_link(const struct bench_memory *memory, struct bench_link *link);

/*
 * raw.c: returns the GB/s of `threads` threads that read the stripes into
 * ordinary memory, with O_DIRECT where the file system supports it.
 */
double bench_raw_read(const struct ccr_image *image, uint32_t threads);

#endif
