// SPDX-License-Identifier: MIT
#include "common/settings/settings.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kind { KIND_NUMBER, KIND_CHOICE, KIND_FLAGS, KIND_TEXT };

struct setting {
	const char *key;
	enum kind kind;
	const char *fallback;
	long min, max;
	const char *words;
	size_t offset, size;
};

#define FIELD(field)			 offsetof(struct ccr_settings, field), sizeof(((struct ccr_settings *)0)->field)
#define NUMBER(key, field, def, lo, hi)	 {key, KIND_NUMBER, def, lo, hi, NULL, FIELD(field)},
#define CHOICE(key, field, def, accepts) {key, KIND_CHOICE, def, 0, 0, accepts, FIELD(field)},
#define FLAGS(key, field, def, accepts)	 {key, KIND_FLAGS, def, 0, 0, accepts, FIELD(field)},
#define TEXT(key, field, def)		 {key, KIND_TEXT, def, 0, 0, NULL, FIELD(field)},
static const struct setting table[] = {
#include "common/settings/settings_list.h"
};
#define NR_SETTINGS (sizeof(table) / sizeof(table[0]))

static void accepted(const struct setting *s, char *out, size_t size)
{
	switch (s->kind) {
	case KIND_NUMBER:
		snprintf(out, size, "%ld-%ld", s->min, s->max);
		break;
	case KIND_CHOICE:
		snprintf(out, size, "%s", s->words);
		break;
	case KIND_FLAGS:
		snprintf(out, size, "off, or any of %s joined by commas", s->words);
		break;
	case KIND_TEXT:
		snprintf(out, size, "at most %zu characters", s->size - 1);
		break;
	}
}

/* Returns the index of `word` in "a|b|c", or -1. */
static int word_index(const char *words, const char *word, size_t len)
{
	int index = 0;

	for (const char *p = words; *p; index++) {
		const size_t n = strcspn(p, "|");

		if (n == len && !strncmp(p, word, n))
			return index;
		p += n + (p[n] == '|');
	}
	return -1;
}

static int parse_number(const struct setting *s, const char *value, long *out)
{
	char *end;

	errno = 0;
	*out = strtol(value, &end, 10);
	return errno || end == value || *end || *out < s->min || *out > s->max ? -EINVAL : 0;
}

static int parse_flags(const struct setting *s, const char *value, long *out)
{
	*out = 0;
	if (!strcmp(value, "off"))
		return 0;
	for (const char *p = value;;) {
		const size_t n = strcspn(p, ",");
		const int bit = word_index(s->words, p, n);

		if (bit < 0)
			return -EINVAL;
		*out |= 1L << bit;
		if (!p[n])
			return 0;
		p += n + 1;
	}
}

static int assign(struct ccr_settings *out, const struct setting *s, const char *value)
{
	void *field = (char *)out + s->offset;
	long number = 0;
	int ret = 0;

	switch (s->kind) {
	case KIND_NUMBER:
		ret = parse_number(s, value, &number);
		break;
	case KIND_CHOICE:
		number = word_index(s->words, value, strlen(value));
		ret = number < 0 ? -EINVAL : 0;
		break;
	case KIND_FLAGS:
		ret = parse_flags(s, value, &number);
		break;
	case KIND_TEXT:
		if (strlen(value) >= s->size)
			return -EINVAL;
		strcpy(field, value);
		return 0;
	}
	if (!ret)
		*(long *)field = number;
	return ret;
}

static int assign_or_explain(struct ccr_settings *out, const struct setting *s, const char *value,
			     const char *origin, char *error, size_t error_size)
{
	char what[128];

	if (!assign(out, s, value))
		return 0;
	accepted(s, what, sizeof(what));
	snprintf(error, error_size, "%s: %s is \"%.80s\"; accepted: %s", origin, s->key, value,
		 what);
	return -EINVAL;
}

static const struct setting *find(const char *key)
{
	for (size_t i = 0; i < NR_SETTINGS; i++)
		if (!strcmp(table[i].key, key))
			return &table[i];
	return NULL;
}

static char *trim(char *text)
{
	char *end = text + strlen(text);

	while (end > text && isspace((unsigned char)end[-1]))
		*--end = '\0';
	while (isspace((unsigned char)*text))
		text++;
	return text;
}

static int read_file(struct ccr_settings *out, FILE *file, const char *path, char *error,
		     size_t error_size)
{
	char line[8192];

	for (int nr = 1; fgets(line, sizeof(line), file); nr++) {
		char origin[PATH_MAX + 32];
		char *key = trim(line), *equals;
		const struct setting *s;
		int ret;

		if (!*key || *key == '#')
			continue;
		snprintf(origin, sizeof(origin), "%s:%d", path, nr);
		equals = strchr(key, '=');
		if (!equals) {
			snprintf(error, error_size, "%s: \"%.80s\" is not of the form key = value",
				 origin, key);
			return -EINVAL;
		}
		*equals = '\0';
		key = trim(key);
		s = find(key);
		if (!s) {
			snprintf(error, error_size,
				 "%s: unknown setting \"%.80s\"; accepted: the keys of `criu-cuda "
				 "config show`",
				 origin, key);
			return -EINVAL;
		}
		ret = assign_or_explain(out, s, trim(equals + 1), origin, error, error_size);
		if (ret)
			return ret;
	}
	return ferror(file) ? -EIO : 0;
}

static int load_file(struct ccr_settings *out, const char *path, bool required, char *error,
		     size_t error_size)
{
	FILE *file = fopen(path, "re");
	int ret;

	if (!file) {
		if (errno == ENOENT && !required)
			return 0;
		snprintf(error, error_size, "%s: cannot be read: %s", path, strerror(errno));
		return -EIO;
	}
	ret = read_file(out, file, path, error, error_size);
	fclose(file);
	if (ret == -EIO)
		snprintf(error, error_size, "%s: cannot be read", path);
	return ret;
}

static int check_absolute(const char *key, const char *path, char *error, size_t error_size)
{
	if (path[0] == '/')
		return 0;
	snprintf(error, error_size, "%s is \"%.80s\"; accepted: an absolute path", key, path);
	return -EINVAL;
}

int ccr_settings_load(struct ccr_settings *out, const char *path, char *error, size_t error_size)
{
	const char *from_env = getenv("CRIU_CUDA_CONFIG");
	const bool required = path || (from_env && *from_env);
	int ret = 0;

	memset(out, 0, sizeof(*out));
	for (size_t i = 0; i < NR_SETTINGS; i++)
		assign(out, &table[i], table[i].fallback);
	if (!path)
		path = required ? from_env : CCR_CONFIG_DEFAULT_PATH;
	ret = load_file(out, path, required, error, error_size);
	for (size_t i = 0; !ret && i < NR_SETTINGS; i++) {
		const char *value = getenv(table[i].key);

		if (value && *value)
			ret = assign_or_explain(out, &table[i], value, "environment", error,
						error_size);
	}
	if (!ret)
		ret = check_absolute("CRIU_CUDA_RUN_DIR", out->run_dir, error, error_size);
	if (!ret && *out->prev_images_dir)
		ret = check_absolute("CRIU_CUDA_PREV_IMAGES_DIR", out->prev_images_dir, error,
				     error_size);
	return ret;
}

void ccr_settings_print_table(void)
{
	static const char *const kinds[] = {"number", "choice", "flags", "text"};

	printf("[\n");
	for (size_t i = 0; i < NR_SETTINGS; i++) {
		const struct setting *s = &table[i];

		printf("  {\"key\":\"%s\",\"type\":\"%s\",\"default\":\"%s\"", s->key,
		       kinds[s->kind], s->fallback);
		if (s->kind == KIND_NUMBER)
			printf(",\"min\":%ld,\"max\":%ld", s->min, s->max);
		if (s->words)
			printf(",\"words\":\"%s\"", s->words);
		printf("}%s\n", i + 1 < NR_SETTINGS ? "," : "");
	}
	printf("]\n");
}
