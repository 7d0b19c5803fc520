// SPDX-License-Identifier: MIT
/*
 * ccr-image verify DIR [--threads N]: checks every GPU image and page file in
 * DIR and prints a line of JSON for each. Exit code 0 when all are intact, 1
 * when one is not or there is none, 2 for a usage error.
 */
#include "image/image.h"
#include "image/index/index.h"
#include "image/pages/pages.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void print_text(const char *text)
{
	putchar('"');
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			printf("\\%c", *text);
		else if ((unsigned char)*text < 0x20)
			printf("\\u%04x", *text);
		else
			putchar(*text);
	}
	putchar('"');
}

static int print_result(const char *manifest, int pid, int ret,
			const struct ccr_image_verify_result *result, const char *error)
{
	printf("{\"manifest\":\"%s\",\"pid\":%d,\"ok\":%s,\"chunks\":%llu,\"zeroChunks\":%llu,"
	       "\"storedBytes\":%llu",
	       manifest, pid, ret ? "false" : "true", (unsigned long long)result->chunks,
	       (unsigned long long)result->zero_chunks, (unsigned long long)result->stored_bytes);
	if (ret) {
		printf(",\"error\":");
		print_text(error);
	}
	printf("}\n");
	return ret;
}

static int verify_image(int dirfd, int pid, unsigned int threads)
{
	struct ccr_image_verify_result result = {0};
	struct ccr_image *image = NULL;
	char error[512] = "", name[CCR_IMAGE_NAME_MAX];
	int ret;

	ret = ccr_image_open(&image, dirfd, pid, error, sizeof(error));
	if (!ret)
		ret = ccr_image_verify(image, threads, &result, error, sizeof(error));
	ccr_image_manifest_name(name, pid);
	ccr_image_close(image);
	return print_result(name, pid, ret, &result, error);
}

struct tally {
	int checked, failed;
};

static int verify_pages(int dirfd, int pid, void *data)
{
	struct tally *tally = data;
	struct ccr_image_verify_result result = {0};
	struct ccr_pages *pages = NULL;
	char error[512] = "", name[CCR_IMAGE_NAME_MAX];
	int ret;

	snprintf(name, sizeof(name), "cuda-host-%d.img", pid);
	ret = ccr_pages_open(&pages, dirfd, pid, error, sizeof(error));
	if (!ret) {
		result.chunks = pages->nr_chunks;
		result.stored_bytes = pages->stored;
		ret = ccr_pages_verify(pages, dirfd, error, sizeof(error));
	}
	ccr_pages_close(pages);
	tally->checked++;
	tally->failed += print_result(name, pid, ret, &result, error) != 0;
	return 0;
}

static void note_stray(const char *name)
{
	fprintf(stderr, "%s is ignored: another dump to this directory left it\n", name);
}

/* What is missing, and what belongs to another checkpoint. */
static int verify_index(int dirfd)
{
	const struct ccr_image_verify_result none = {0};
	struct ccr_index *index;
	char error[512];
	const int ret = ccr_index_check(&index, dirfd, note_stray, error, sizeof(error));

	ccr_index_close(index);
	return ret ? print_result(CCR_INDEX_NAME, 0, ret, &none, error) : 0;
}

static int by_number(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

static int verify_directory(const char *path, unsigned int threads)
{
	const int dirfd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct tally tally = {0};
	int *pids = NULL, nr = 0;
	struct dirent *entry;
	DIR *dir;

	dir = dirfd < 0 ? NULL : fdopendir(dirfd);
	if (!dir) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return 1;
	}
	while ((entry = readdir(dir))) {
		const int pid = ccr_image_pid_of_name(entry->d_name);
		int *more = pid ? realloc(pids, (nr + 1) * sizeof(*pids)) : NULL;

		if (!pid)
			continue;
		if (!more) {
			fprintf(stderr, "out of memory\n");
			tally.failed++;
			break;
		}
		pids = more;
		pids[nr++] = pid;
	}
	if (nr)
		qsort(pids, nr, sizeof(*pids), by_number);
	for (int i = 0; i < nr; i++)
		tally.failed += verify_image(dirfd, pids[i], threads) != 0;
	free(pids);
	ccr_pages_for_each(dirfd, verify_pages, &tally);
	if (!tally.failed)
		tally.failed += verify_index(dirfd) != 0;
	closedir(dir);
	if (!nr && !tally.checked)
		fprintf(stderr, "%s: no GPU image (cuda-<pid>.img)\n", path);
	return tally.failed || (!nr && !tally.checked);
}

int main(int argc, char **argv)
{
	long threads = sysconf(_SC_NPROCESSORS_ONLN);
	char *end;

	if (argc == 5 && !strcmp(argv[3], "--threads")) {
		threads = strtol(argv[4], &end, 10);
		if (end == argv[4] || *end)
			threads = 0;
	} else if (argc != 3) {
		threads = 0;
	}
	if (threads < 1 || threads > 64 || strcmp(argv[1], "verify")) {
		if (threads <= 64 || argc == 5) {
			fprintf(stderr, "usage: ccr-image verify DIR [--threads 1-64]\n");
			return 2;
		}
		threads = 64;
	}
	return verify_directory(argv[2], threads);
}
