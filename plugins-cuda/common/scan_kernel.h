// SPDX-License-Identifier: MIT
/*
 * The kernel of the transfer engine that finds chunks of zeroes. Its PTX is in
 * transfer/engine/scan_ptx.c; softcuda/queue/kernels.c does the same on the CPU.
 */
#ifndef CCR_SCAN_KERNEL_H
#define CCR_SCAN_KERNEL_H

#include <stdint.h>

/* X(name, number of 64-bit parameters) */
#define CCR_SCAN_KERNELS(X) X(ccr_find_zeroes, 2)

#define CCR_SCAN_THREADS 512 /* of a thread block; the kernel relies on it */
#define CCR_SCAN_ALIGN	 16  /* of the address and the length of a chunk */

/*
 * Thread block i reads entries[i] and sets its is_zero to 1 if all bytes of the
 * chunk are zero. Otherwise it leaves it alone: the caller sets it to 0 before, so
 * that a chunk counts as data unless every byte of it was read.
 */
struct ccr_scan_entry {
	uint64_t address; /* device address, a multiple of CCR_SCAN_ALIGN */
	uint64_t bytes;	  /* a multiple of CCR_SCAN_ALIGN */
	uint64_t is_zero;
	uint64_t unused; /* the kernel reads aligned pairs */
};

struct ccr_find_zeroes_params {
	uint64_t entries; /* device address, a multiple of 16 */
	uint64_t nr_entries;
};

#endif
