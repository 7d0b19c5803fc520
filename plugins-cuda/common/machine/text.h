/* SPDX-License-Identifier: MIT */
/* Reading small files of /proc and /sys, below a root directory. */
#ifndef CCR_TEXT_H
#define CCR_TEXT_H

#include <stddef.h>
#include <stdint.h>

/* A buffer that is used for one file after the other. */
struct text {
	char *data; /* ends with NUL */
	size_t length, size;
};

/* For files of the kernel, which end. */
#define TEXT_ALL SIZE_MAX

/*
 * Reads the first `most` bytes of a file: what a program decides about may have no end. The path is
 * relative to `dir`. Returns 0 or -errno; then the text is empty.
 */
int ccr__text_read(struct text *text, size_t most, int dir, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
/* The next line of what is left in `*rest`, without its newline; NULL at the end. Changes the text.
 */
char *ccr__text_line(char **rest);
/* The number after "NAME" and blanks at the beginning of a line; `fallback` if no line has it. */
uint64_t ccr__text_number(const struct text *text, const char *name, uint64_t fallback);
void ccr__text_free(struct text *text);

#endif
