// SPDX-License-Identifier: MIT
/* Asks the kernel about host memory. */
#ifndef CCR_INTERCEPT_RANGE_H
#define CCR_INTERCEPT_RANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* True when the range has only anonymous memory that is readable (`is_written`: and writable).
 * False also when the kernel does not answer. */
bool ccr__range_is_plain(const void *memory, size_t bytes, bool is_written);
/* Faults in all pages for reading or writing. Returns false when some are missing or protected. */
bool ccr__range_populate(const void *memory, size_t bytes, bool is_written);
/* True when anonymous memory of at most CCR__RANGE_MAX bytes needs no page fault. */
#define CCR__RANGE_MAX ((size_t)2 << 20)
bool ccr__range_is_resident(const void *memory, size_t bytes);

#endif
