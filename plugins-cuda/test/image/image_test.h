// SPDX-License-Identifier: MIT
/* Shared by the tests of GPU images and of the transfer engine. */
#ifndef CCR_IMAGE_TEST_H
#define CCR_IMAGE_TEST_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "image/image.h"

#define SKIP 77
#define KIB  1024ull
#define MIB  (1024 * KIB)

#define CHECK(condition)                                                                  \
	do {                                                                              \
		if (!(condition)) {                                                       \
			fprintf(stderr, "%s:%d: not true: %s (%s)\n", __FILE__, __LINE__, \
				#condition, image_error);                                 \
			exit(1);                                                          \
		}                                                                         \
	} while (0)

/* Checks that `text` contains both strings; prints it otherwise. */
#define SAYS(text, one, two)                                                              \
	do {                                                                              \
		if (!strstr(text, one) || !strstr(text, two)) {                           \
			fprintf(stderr, "%s:%d: \"%s\" does not say \"%s\" and \"%s\"\n", \
				__FILE__, __LINE__, text, one, two);                      \
			exit(1);                                                          \
		}                                                                         \
	} while (0)

extern char image_error[512];

/* Creates a directory for the test, which is removed with its files when the process ends. */
int image_directory(void);
const char *image_directory_path(void);
/* Number of files in the directory. */
int image_count_files(void);
void image_remove_files(void);

/* Fills with bytes that depend on seed and position; never 8 consecutive zeroes. */
void image_pattern(void *data, size_t size, uint64_t seed);

/*
 * Writes an image: allocation i has `sizes[i]` bytes of pattern i (zeroes if i
 * % 4 is 0) in chunks of 64 KiB.
 */
void image_write(int dirfd, int pid, const uint64_t *sizes, uint32_t nr, uint32_t nr_writers);
void image_write_chunks(int dirfd, int pid, const uint64_t *sizes, uint32_t nr, uint32_t nr_writers,
			uint64_t chunk_size);
void image_expected(void *data, size_t size, uint32_t allocation);

/* Overwrites `size` bytes of a file in the directory. */
void image_patch(const char *name, uint64_t offset, const void *data, size_t size);

#endif
