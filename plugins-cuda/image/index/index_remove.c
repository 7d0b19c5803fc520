// SPDX-License-Identifier: MIT
/*
 * Removes what a failed dump has written. First the manifests with its id, then
 * all files that no manifest in the directory names.
 */
#include "image/index/index.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "image/format/format.h"
#include "image/pages/pages.h"
#include "image/read/read.h"

struct removal {
	int dirfd;
	const uint8_t *id;
};

static bool has_suffix(const char *name, const char *suffix)
{
	const size_t length = strlen(name), wanted = strlen(suffix);

	return length >= wanted && !strcmp(name + length - wanted, suffix);
}

/* Reads a manifest without its stripes, any of which may be missing. */
static struct ccr_image *read_gpu_manifest(int dirfd, const char *name)
{
	struct ccr_image *image = NULL;
	char error[256];
	size_t size;
	void *data;

	if (ccr__image_read_manifest(dirfd, name, &data, &size, error, sizeof(error)))
		return NULL;
	if (ccr_image_parse(&image, data, size, name, error, sizeof(error)))
		image = NULL;
	free(data);
	return image;
}

static bool is_of_dump(const struct removal *removal, const char *name)
{
	const int gpu = ccr_image_pid_of_name(name), host = ccr_pages_pid_of_name(name);
	bool is_ours = false;
	char error[256];

	if (!strcmp(name, CCR_INDEX_NAME)) {
		struct ccr_index *index;

		if (ccr_index_open(&index, removal->dirfd, error, sizeof(error)))
			return false;
		is_ours = !memcmp(index->id, removal->id, sizeof(index->id));
		ccr_index_close(index);
	} else if (gpu) {
		struct ccr_image *image = read_gpu_manifest(removal->dirfd, name);

		is_ours = image && !memcmp(image->checkpoint, removal->id, CCR_CHECKPOINT_ID_SIZE);
		ccr_image_close(image);
	} else if (host) {
		struct ccr_pages *pages;

		if (ccr_pages_open(&pages, removal->dirfd, host, error, sizeof(error)))
			return false;
		is_ours = !memcmp(pages->checkpoint, removal->id, CCR_CHECKPOINT_ID_SIZE);
		ccr_pages_close(pages);
	}
	return is_ours;
}

static int remove_manifest(const char *name, void *data)
{
	const struct removal *removal = data;

	if (is_of_dump(removal, name))
		unlinkat(removal->dirfd, name, 0);
	return 0;
}

static bool has_manifest(int dirfd, int pid)
{
	char manifest[CCR_IMAGE_NAME_MAX];

	ccr_image_manifest_name(manifest, pid);
	return !faccessat(dirfd, manifest, F_OK, AT_SYMLINK_NOFOLLOW);
}

static bool is_page_file_of_manifest(int dirfd, const char *name, int pid)
{
	struct ccr_pages *pages;
	char error[256];
	bool is_named;

	if (ccr_pages_open(&pages, dirfd, pid, error, sizeof(error))) {
		snprintf(error, sizeof(error), "cuda-host-%d.img", pid);
		/* A damaged manifest may name it. */
		return !faccessat(dirfd, error, F_OK, AT_SYMLINK_NOFOLLOW);
	}
	is_named = !strcmp(pages->file, name);
	ccr_pages_close(pages);
	return is_named;
}

/* True for names of ours that no reader opens. */
static bool is_unnamed(int dirfd, const char *name)
{
	unsigned int stripe;
	int pid, end = 0;

	if (has_suffix(name, ".img.tmp"))
		return !strncmp(name, "cuda", 4);
	if (sscanf(name, "cuda-%d-%u.img%n", &pid, &stripe, &end) == 2 && end && !name[end])
		return !has_manifest(dirfd, pid);
	end = 0;
	if (sscanf(name, CCR_PAGES_PREFIX "%d-%*16[0-9a-f].img%n", &pid, &end) == 1 && end &&
	    !name[end])
		return !is_page_file_of_manifest(dirfd, name, pid);
	return false;
}

static int remove_unnamed(const char *name, void *data)
{
	const struct removal *removal = data;

	if (is_unnamed(removal->dirfd, name))
		unlinkat(removal->dirfd, name, 0);
	return 0;
}

void ccr_index_remove_checkpoint(int dirfd, const uint8_t id[CCR_CHECKPOINT_ID_SIZE])
{
	struct removal removal = {dirfd, id};

	ccr_image_for_each_name(dirfd, remove_manifest, &removal);
	ccr_image_for_each_name(dirfd, remove_unnamed, &removal);
}

static int is_ours(const char *name, void *unused)
{
	return !strcmp(name, CCR_INDEX_NAME) || ccr_image_pid_of_name(name) ||
	       ccr_pages_pid_of_name(name);
}

bool ccr_index_is_needed(int dirfd)
{
	return ccr_image_for_each_name(dirfd, is_ours, NULL) > 0;
}
