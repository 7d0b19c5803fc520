// SPDX-License-Identifier: MIT
/* Takes over the stripes of an earlier image, as further names of the same files. */
#include "image/write/write.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A file that another user may write would change the image of this one. */
static const char *why_not(const struct ccr_image_stripe *stripe)
{
	struct stat status;

	if (fstat(stripe->fd, &status))
		return strerror(errno);
	if (status.st_uid != geteuid())
		return "it belongs to another user";
	if (status.st_mode & (S_IWGRP | S_IWOTH))
		return "other users may write it";
	return NULL;
}

/* The file that is open, whatever has its name by now. */
static int link_file(const struct ccr_image_writer *writer, int fd, const char *name)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	unlinkat(writer->dirfd, name, 0);
	return linkat(AT_FDCWD, path, writer->dirfd, name, AT_SYMLINK_FOLLOW) ? -errno : 0;
}

static int link_stripe(struct ccr_image_writer *writer, const struct ccr_image_stripe *stripe,
		       char *error, size_t error_size)
{
	struct writer_stripe *to = &writer->stripes[writer->nr_stripes];
	const char *reason = why_not(stripe);
	char name[CCR_IMAGE_NAME_MAX];
	int ret = -EPERM;

	if (reason)
		return ccr__image_error(ret, error, error_size, "%s: %s", stripe->name, reason);
	memset(to, 0, sizeof(*to));
	ccr_image_stripe_name(name, writer->draft.pid, writer->nr_stripes);
	ccr__image_temporary_name(to->file.name, name);
	to->file.size = stripe->size;
	to->is_linked = true;
	to->file.fd = -1; /* nothing is written to it */
	writer->nr_stripes++;
	ret = link_file(writer, stripe->fd, to->file.name);
	if (ret)
		return ccr__image_error(ret, error, error_size, "cannot link %s: %s", stripe->name,
					ret == -EXDEV ? "it is on another file system or mount"
						      : strerror(-ret));
	to->is_created = true;
	return 0;
}

static void unlink_stripes(struct ccr_image_writer *writer)
{
	while (writer->nr_stripes > writer->options.nr_writers) {
		struct writer_stripe *stripe = &writer->stripes[--writer->nr_stripes];

		if (stripe->is_created)
			unlinkat(writer->dirfd, stripe->file.name, 0);
	}
}

int ccr_image_writer_link(struct ccr_image_writer *writer, const struct ccr_image *earlier,
			  char *error, size_t error_size)
{
	const uint32_t nr_writers = writer->options.nr_writers;
	const size_t nr = (size_t)nr_writers + earlier->nr_stripes;
	struct writer_stripe *stripes;
	int ret = 0;

	if (nr > CCR_IMAGE_MAX_STRIPES)
		return ccr__image_error(-E2BIG, error, error_size, "%s: it has %u stripes already",
					earlier->name, earlier->nr_stripes);
	stripes = aligned_alloc(alignof(struct writer_stripe), nr * sizeof(*stripes));
	if (!stripes)
		return ccr__image_error(-ENOMEM, error, error_size, "out of memory");
	memcpy(stripes, writer->stripes, nr_writers * sizeof(*stripes));
	free(writer->stripes);
	writer->stripes = stripes;
	for (uint32_t i = 0; !ret && i < earlier->nr_stripes; i++)
		ret = link_stripe(writer, &earlier->stripes[i], error, error_size);
	if (ret)
		unlink_stripes(writer);
	return ret;
}
