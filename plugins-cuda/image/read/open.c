// SPDX-License-Identifier: MIT
#include "image/format/format.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/io.h"
#include "image/read/read.h"

static int fail(int ret, const char *name, char *error, size_t error_size)
{
	return ccr__image_error(ret, error, error_size, "%s: %s", name, strerror(-ret));
}

int ccr__image_open_file(int dirfd, const char *name, struct stat *status, char *error,
			 size_t error_size)
{
	const int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	if (fd < 0)
		return fail(-errno, name, error, error_size);
	if (fstat(fd, status)) {
		const int ret = -errno;

		close(fd);
		return fail(ret, name, error, error_size);
	}
	if (!S_ISREG(status->st_mode)) {
		close(fd);
		return ccr__image_error(-EINVAL, error, error_size, "%s: not a regular file", name);
	}
	return fd;
}

int ccr__image_read_manifest(int dirfd, const char *name, void **data, size_t *size, char *error,
			     size_t error_size)
{
	struct stat status;
	const int fd = ccr__image_open_file(dirfd, name, &status, error, error_size);
	int ret;

	if (fd < 0)
		return fd;
	ret = -EINVAL;
	*size = status.st_size;
	if (*size > CCR_IMAGE_MAX_MANIFEST) {
		ccr__image_error(ret, error, error_size,
				 "%s: length is %zu; at most %u is accepted", name, *size,
				 CCR_IMAGE_MAX_MANIFEST);
		goto out_close;
	}
	*data = malloc(*size + 1);
	ret = *data ? ccr_io_pread_full(fd, *data, *size, 0) : -ENOMEM;
	if (ret) {
		fail(ret, name, error, error_size);
		free(*data);
	}
out_close:
	close(fd);
	return ret;
}

static int open_stripe(struct ccr_image *image, int dirfd, uint32_t i, char *error,
		       size_t error_size)
{
	struct ccr_image_stripe *stripe = &image->stripes[i];
	struct stat status;
	uint64_t size;
	int fd;

	fd = ccr__image_open_file(dirfd, stripe->name, &status, error, error_size);
	if (fd == -ENOENT)
		return ccr__image_error(-ENODATA, error, error_size,
					"%s: missing; %s says it has %llu bytes", stripe->name,
					image->name, (unsigned long long)stripe->size);
	if (fd < 0)
		return fd;
	size = status.st_size;
	if (size == stripe->size) {
		stripe->fd = fd;
		return 0;
	}
	close(fd);
	return ccr__image_error(size < stripe->size ? -ENODATA : -EINVAL, error, error_size,
				"%s: length is %llu; stripe_sizes[%u] of %s is %llu", stripe->name,
				(unsigned long long)size, i, image->name,
				(unsigned long long)stripe->size);
}

static int open_stripes(struct ccr_image *image, int dirfd, bool is_early, char *error,
			size_t error_size)
{
	int ret = 0;

	for (uint32_t i = 0; !ret && i < image->nr_stripes; i++)
		if (!is_early ||
		    !faccessat(dirfd, image->stripes[i].name, F_OK, AT_SYMLINK_NOFOLLOW))
			ret = open_stripe(image, dirfd, i, error, error_size);
	return ret;
}

int ccr_image_read_manifest(void **data, size_t *size, int dirfd, int pid, char *error,
			    size_t error_size)
{
	char name[CCR_IMAGE_NAME_MAX];

	ccr_image_manifest_name(name, pid);
	return ccr__image_read_manifest(dirfd, name, data, size, error, error_size);
}

static int open_image(struct ccr_image **out, int dirfd, int pid, bool is_early, char *error,
		      size_t error_size)
{
	char name[CCR_IMAGE_NAME_MAX];
	struct ccr_image *image;
	size_t size;
	void *data;
	int ret;

	ccr_image_manifest_name(name, pid);
	ret = ccr__image_read_manifest(dirfd, name, &data, &size, error, error_size);
	if (ret)
		return ret;
	ret = ccr_image_parse(&image, data, size, name, error, error_size);
	if (ret) {
		free(data);
		return ret;
	}
	image->manifest = data;
	image->manifest_size = size;
	if (image->pid != pid)
		ret = ccr__image_error(-EINVAL, error, error_size, "%s: pid is %d", name,
				       image->pid);
	if (!ret)
		ret = ccr_image_check_protocol(image, error, error_size);
	if (!ret && is_early) {
		image->dirfd = fcntl(dirfd, F_DUPFD_CLOEXEC, 0);
		if (image->dirfd < 0)
			ret = fail(-errno, name, error, error_size);
	}
	if (!ret)
		ret = open_stripes(image, dirfd, is_early, error, error_size);
	if (ret)
		ccr_image_close(image);
	else
		*out = image;
	return ret;
}

int ccr_image_open(struct ccr_image **out, int dirfd, int pid, char *error, size_t error_size)
{
	return open_image(out, dirfd, pid, false, error, error_size);
}

int ccr_image_open_early(struct ccr_image **out, int dirfd, int pid, char *error, size_t error_size)
{
	return open_image(out, dirfd, pid, true, error, error_size);
}

int ccr_image_open_stripe(struct ccr_image *image, uint32_t stripe, char *error, size_t error_size)
{
	if (image->stripes[stripe].fd >= 0)
		return 0;
	return open_stripe(image, image->dirfd, stripe, error, error_size);
}
