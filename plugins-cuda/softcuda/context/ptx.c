// SPDX-License-Identifier: MIT
// Minimal PTX parsing: checks that a text is PTX and finds its entry points.
#include "softcuda/softcuda.h"

#include <ctype.h>
#include <string.h>

#define FATBIN_MAGIC 0xba55ed50u

CUresult ccr_ptx_check(const void *image)
{
	const unsigned char *bytes = image;
	uint32_t magic;

	if (!bytes)
		return CUDA_ERROR_INVALID_VALUE;
	if (!bytes[0])
		return CUDA_ERROR_INVALID_IMAGE;
	// Compiled code, which is valid but not for this device.
	if (!strncmp(image, "\177ELF", 4))
		return CUDA_ERROR_NO_BINARY_FOR_GPU;
	if (strnlen(image, 4) == 4) {
		memcpy(&magic, image, 4);
		if (magic == FATBIN_MAGIC)
			return CUDA_ERROR_NO_BINARY_FOR_GPU;
	}
	if (!isprint(bytes[0]) && !isspace(bytes[0]))
		return CUDA_ERROR_INVALID_IMAGE;
	return strstr(image, ".version") ? CUDA_SUCCESS : CUDA_ERROR_INVALID_PTX;
}

static bool is_word(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '$' || c == '%' || c == '.';
}

// Skips blanks and comments.
static const char *skip_blank(const char *at)
{
	for (;;) {
		const char *end = NULL;

		while (isspace((unsigned char)*at))
			at++;
		if (!strncmp(at, "//", 2))
			end = strchr(at, '\n');
		else if (!strncmp(at, "/*", 2))
			end = strstr(at + 2, "*/");
		else
			return at;
		if (!end)
			return at + strlen(at);
		at = *end == '\n' ? end + 1 : end + 2;
	}
}

bool ccr_ptx_has_entry(const char *text, const char *name)
{
	size_t length = strlen(name);
	bool after_entry = false;

	while (*(text = skip_blank(text))) {
		const char *start = text;

		while (is_word(*text))
			text++;
		if (text == start)
			text++;
		if (after_entry && (size_t)(text - start) == length &&
		    !strncmp(start, name, length))
			return true;
		after_entry = text - start == 6 && !strncmp(start, ".entry", 6);
	}
	return false;
}
