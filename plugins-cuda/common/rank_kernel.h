// SPDX-License-Identifier: MIT
/*
 * The kernel of workload-ranks: one step of an all-reduce between processes that
 * map each other's buffers. Its PTX is in workloads/ranks/kernel_ptx.c;
 * softcuda/queue/reduce.c does the same on the CPU.
 */
#ifndef CCR_RANK_KERNEL_H
#define CCR_RANK_KERNEL_H

#include <stdint.h>

/* X(name, number of 64-bit parameters) */
#define CCR_RANK_KERNELS(X) X(ccr_all_reduce, 6)

/* A rank's buffer begins with a page of flags; its data follow. */
#define CCR_RANK_HEADER_BYTES 4096u
#define CCR_RANK_READY	      0u /* word: its data are those of this step */
#define CCR_RANK_DONE	      64u /* word, in another cache line: it has read all data of this step */

/* What a step adds to each word of data, so that a lost or repeated step shows forever. */
#define CCR_RANK_INCREMENT 0x9e3779b97f4a7c15ull

#define CCR_RANK_THREADS 256 /* of the only thread block */

/*
 * Waits until all ranks have read the previous step's data, adds the increment to
 * each word of its own data, waits until all ranks have done so, and replaces *acc
 * by mix(*acc + sum), where sum is the checksum of the data of all ranks as
 * ccr_checksum_u64 defines it. So all ranks get the same *acc. A kernel whose peers
 * are not launched waits for them without end.
 */
struct ccr_all_reduce_params {
	uint64_t
		buffers; /* device address of a table: each rank's buffer as this process maps it */
	uint64_t nr_ranks;
	uint64_t rank;
	uint64_t nr_words; /* of data in each buffer */
	uint64_t step;	   /* from 1 */
	uint64_t acc;	   /* device address of one 64-bit word */
};

#endif
