// SPDX-License-Identifier: MIT
/* Questions to the kernel about host memory. */
#ifndef CCR_INTERCEPT_RANGE_H
#define CCR_INTERCEPT_RANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Nothing but anonymous memory that may be read (`is_written`: and written); false also when the
 * kernel cannot be asked. */
bool ccr__range_is_plain(const void *memory, size_t bytes, bool is_written);
/* Faults all pages in, for reading or writing. False: not all of them are there. */
bool ccr__range_populate(const void *memory, size_t bytes, bool is_written);
/* Whether anonymous memory needs no fault; of at most CCR__RANGE_MAX bytes. */
#define CCR__RANGE_MAX ((size_t)2 << 20)
bool ccr__range_is_resident(const void *memory, size_t bytes);

#endif
