// SPDX-License-Identifier: MIT
/* Compares a page file with its manifest. */
#include "image/pages/pages.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/io.h"
#include "image/checksum/checksum.h"
#include "image/format/format.h"
#include "image/read/read.h"

static int open_page_file(const struct ccr_pages *pages, int dirfd, struct stat *status,
			  char *error, size_t error_size)
{
	const int fd = ccr__image_open_file(dirfd, pages->file, status, error, error_size);
	int ret;

	if (fd == -ENOENT)
		return ccr__image_error(-ENODATA, error, error_size,
					"%s: missing; %s says it has %llu bytes", pages->file,
					pages->name, (unsigned long long)pages->size);
	if (fd < 0 || (uint64_t)status->st_size == pages->size)
		return fd;
	ret = (uint64_t)status->st_size < pages->size ? -ENODATA : -EINVAL;
	close(fd);
	return ccr__image_error(ret, error, error_size, "%s: length is %llu; %s says %llu",
				pages->file, (unsigned long long)status->st_size, pages->name,
				(unsigned long long)pages->size);
}

int ccr_pages_compare_chunk(const struct ccr_pages *pages, int fd, size_t chunk, void *buffer,
			    char *error, size_t error_size)
{
	const uint64_t start = chunk * pages->chunk_size;
	const uint64_t rest = pages->size - start;
	const uint64_t length = rest < pages->chunk_size ? rest : pages->chunk_size;
	struct ccr_checksum checksum;
	uint64_t found;

	ccr_checksum_begin(&checksum);
	for (uint64_t done = 0; done < length;) {
		const size_t piece =
			length - done < CCR_PAGES_BUFFER ? length - done : CCR_PAGES_BUFFER;
		const int ret = ccr_io_pread_full(fd, buffer, piece, start + done);

		if (ret)
			return ccr__image_error(ret, error, error_size, "%s: read at %llu: %s",
						pages->file, (unsigned long long)(start + done),
						strerror(-ret));
		ccr_checksum_update(&checksum, buffer, piece);
		done += piece;
	}
	found = ccr_checksum_end(&checksum);
	if (found == pages->xxh3[chunk])
		return 0;
	return ccr__image_error(-EBADMSG, error, error_size,
				"%s: chunk %zu at offset %llu: xxh3 is %016llx, %s says %016llx: "
				"the file was changed",
				pages->file, chunk, (unsigned long long)start,
				(unsigned long long)found, pages->name,
				(unsigned long long)pages->xxh3[chunk]);
}

static int compare(const struct ccr_pages *pages, int fd, char *error, size_t error_size)
{
	void *buffer = malloc(CCR_PAGES_BUFFER);
	int ret = 0;

	if (!buffer)
		return ccr__image_error(-ENOMEM, error, error_size, "%s: out of memory",
					pages->file);
	for (size_t i = 0; !ret && i < pages->nr_chunks; i++)
		ret = ccr_pages_compare_chunk(pages, fd, i, buffer, error, error_size);
	free(buffer);
	return ret;
}

int ccr_pages_check(const struct ccr_pages *pages, int dirfd, char *error, size_t error_size)
{
	struct stat status;
	const int fd = open_page_file(pages, dirfd, &status, error, error_size);

	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

int ccr_pages_verify(const struct ccr_pages *pages, int dirfd, char *error, size_t error_size)
{
	struct stat status;
	const int fd = open_page_file(pages, dirfd, &status, error, error_size);
	int ret;

	if (fd < 0)
		return fd;
	ret = compare(pages, fd, error, error_size);
	close(fd);
	return ret;
}

static int is_manifest(const struct dirent *entry)
{
	return ccr_pages_pid_of_name(entry->d_name) != 0;
}

static int by_pid(const struct dirent **a, const struct dirent **b)
{
	return ccr_pages_pid_of_name((*a)->d_name) - ccr_pages_pid_of_name((*b)->d_name);
}

int ccr_pages_for_each(int dirfd, int (*each)(int dirfd, int pid, void *data), void *data)
{
	struct dirent **entries;
	const int nr = scandirat(dirfd, ".", &entries, is_manifest, by_pid);
	int ret = 0;

	if (nr < 0)
		return -errno;
	for (int i = 0; i < nr; i++) {
		if (!ret)
			ret = each(dirfd, ccr_pages_pid_of_name(entries[i]->d_name), data);
		free(entries[i]);
	}
	free(entries);
	return ret;
}
