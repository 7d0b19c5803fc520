// SPDX-License-Identifier: MIT
/* Compares an index with the files of its directory. */
#include "image/index/index.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "image/format/format.h"
#include "image/pages/pages.h"
#include "image/read/read.h"

/* What a check of a directory needs, and its result. */
struct check {
	int dirfd;
	const struct ccr_index *index; /* NULL: there is none */
	void (*stray)(const char *name);
	char *error;
	size_t error_size;
};

static int missing(const struct check *check, const char *name)
{
	return ccr__image_error(-ENODATA, check->error, check->error_size,
				"%s: missing; " CCR_INDEX_NAME " lists it", name);
}

/* A manifest of the checkpoint has the id of the index, and none has an id without an index. */
static int compare_id(const struct check *check, const char *name, const uint8_t *id)
{
	if (check->index && memcmp(id, check->index->id, CCR_CHECKPOINT_ID_SIZE))
		return ccr__image_error(-EINVAL, check->error, check->error_size,
					"%s: belongs to another checkpoint than " CCR_INDEX_NAME
					": make the checkpoint again",
					name);
	if (!check->index && !ccr_checkpoint_id_is_none(id))
		return ccr__image_error(-ENODATA, check->error, check->error_size,
					CCR_INDEX_NAME
					": missing, and %s belongs to a checkpoint: the dump did "
					"not complete, or not all files were copied",
					name);
	return 0;
}

/* The pool looks at the stripes when it loads them; a resident image needs none. */
static int check_gpu(const struct check *check, int pid, bool *is_driver)
{
	char name[CCR_IMAGE_NAME_MAX];
	struct ccr_image *image;
	size_t size;
	void *data;
	int ret;

	ccr_image_manifest_name(name, pid);
	ret = ccr__image_read_manifest(check->dirfd, name, &data, &size, check->error,
				       check->error_size);
	if (ret == -ENOENT)
		return missing(check, name);
	if (ret)
		return ret;
	ret = ccr_image_parse(&image, data, size, name, check->error, check->error_size);
	free(data);
	if (ret)
		return ret;
	ret = compare_id(check, name, image->checkpoint);
	*is_driver = image->is_driver;
	ccr_image_close(image);
	return ret;
}

static int check_host(const struct check *check, int pid)
{
	char name[CCR_IMAGE_NAME_MAX];
	struct ccr_pages *pages;
	int ret;

	snprintf(name, sizeof(name), "cuda-host-%d.img", pid);
	ret = ccr_pages_open(&pages, check->dirfd, pid, check->error, check->error_size);
	if (ret == -ENOENT)
		return missing(check, name);
	if (ret)
		return ret;
	ret = compare_id(check, name, pages->checkpoint);
	ccr_pages_close(pages);
	return ret;
}

/* For each manifest in the directory that the index does not list. */
static int check_unlisted(const char *name, void *data)
{
	const struct check *check = data;
	const int gpu = ccr_image_pid_of_name(name);
	const int host = gpu ? 0 : ccr_pages_pid_of_name(name);
	const struct ccr_index_member *member;
	bool is_driver;

	if (!gpu && !host)
		return 0;
	if (!check->index)
		return gpu ? check_gpu(check, gpu, &is_driver) : check_host(check, host);
	member = ccr_index_find(check->index, gpu ? gpu : host);
	if (!member || !(gpu ? member->has_gpu : member->has_host))
		check->stray(name);
	return 0;
}

int ccr_index_check(struct ccr_index **out, int dirfd, void (*stray)(const char *name), char *error,
		    size_t error_size)
{
	struct check check = {
		.dirfd = dirfd, .stray = stray, .error = error, .error_size = error_size};
	struct ccr_index *index = NULL;
	int ret = ccr_index_open(&index, dirfd, error, error_size);

	*out = NULL;
	if (ret && ret != -ENOENT)
		return ret;
	check.index = index;
	*error = '\0';
	ret = 0;
	for (size_t i = 0; index && !ret && i < index->nr_members; i++) {
		struct ccr_index_member *member = &index->members[i];

		if (member->has_gpu)
			ret = check_gpu(&check, member->pid, &member->is_driver);
		if (!ret && member->has_host)
			ret = check_host(&check, member->pid);
	}
	if (!ret)
		ret = ccr_image_for_each_name(dirfd, check_unlisted, &check);
	if (ret && !*error)
		ccr__image_error(ret, error, error_size, "images directory: %s", strerror(-ret));
	if (ret)
		ccr_index_close(index);
	else
		*out = index;
	return ret;
}
