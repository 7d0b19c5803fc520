// SPDX-License-Identifier: MIT
#include "common/machine/text.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FIRST_SIZE (64 * 1024)

static int grow(struct text *text)
{
	const size_t size = text->size ? text->size * 2 : FIRST_SIZE;
	char *data = realloc(text->data, size);

	if (!data)
		return -ENOMEM;
	text->data = data;
	text->size = size;
	return 0;
}

static int read_all(struct text *text, int fd, size_t most)
{
	ssize_t len;

	do {
		if (text->length + 1 >= text->size && grow(text))
			return -ENOMEM;
		len = text->size - text->length - 1;
		if ((size_t)len > most - text->length)
			len = most - text->length;
		len = read(fd, text->data + text->length, len);
		if (len > 0)
			text->length += len;
	} while (len > 0 || (len < 0 && errno == EINTR));
	return len < 0 ? -errno : 0;
}

int ccr__text_read(struct text *text, size_t most, int dir, const char *format, ...)
{
	char path[PATH_MAX];
	va_list args;
	int fd, ret;

	va_start(args, format);
	vsnprintf(path, sizeof(path), format, args);
	va_end(args);
	text->length = 0;
	if (!text->size && grow(text))
		return -ENOMEM;
	/* O_NONBLOCK: a test's root directory may hold anything, even a FIFO. */
	fd = openat(dir, path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	ret = fd < 0 ? -errno : read_all(text, fd, most);
	if (fd >= 0)
		close(fd);
	if (ret)
		text->length = 0;
	text->data[text->length] = '\0';
	return ret;
}

char *ccr__text_line(char **rest)
{
	char *line = *rest, *end;

	if (!line || !*line)
		return NULL;
	end = strchr(line, '\n');
	if (end)
		*end = '\0';
	*rest = end ? end + 1 : NULL;
	return line;
}

uint64_t ccr__text_number(const struct text *text, const char *name, uint64_t fallback)
{
	const size_t length = strlen(name);

	if (!text->data)
		return fallback;
	for (const char *line = text->data; line && *line;) {
		if (!strncmp(line, name, length)) {
			const char *digits = line + length + strspn(line + length, ": \t");

			if (*digits >= '0' && *digits <= '9')
				return strtoull(digits, NULL, 10);
		}
		line = strchr(line, '\n');
		if (line)
			line++;
	}
	return fallback;
}

void ccr__text_free(struct text *text)
{
	free(text->data);
	memset(text, 0, sizeof(*text));
}
