// SPDX-License-Identifier: MIT
/*
 * Renames the files of a new image. The old manifest is removed first and the
 * new one is renamed last, so that a manifest is never there with stripes of
 * another image.
 */
#include "image/write/write.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/io.h"
#include "image/check/check.h"

struct commit {
	struct ccr_image_writer *writer;
	char manifest[CCR_IMAGE_NAME_MAX]; /* temporary name of the manifest */
	bool is_replacing;		   /* the old manifest has been removed */
	uint32_t nr_renamed;
	char *error;
	size_t error_size;
};

static int fail(const struct commit *commit, int ret, const char *name, const char *what)
{
	return ccr__image_error(ret, commit->error, commit->error_size, "%s: %s: %s", name, what,
				strerror(-ret));
}

static int by_position(const void *a, const void *b)
{
	const struct ccr_image_chunk *x = a, *y = b;

	if (x->allocation != y->allocation)
		return x->allocation < y->allocation ? -1 : 1;
	return x->position < y->position ? -1 : x->position > y->position;
}

/* Collects the chunks of all threads and renumbers the stripes without the empty ones. */
static int assemble(struct commit *commit)
{
	struct ccr_image_writer *writer = commit->writer;
	struct ccr_image *draft = &writer->draft;
	size_t total = 0;

	for (uint32_t i = 0; i < writer->nr_stripes; i++)
		total += writer->stripes[i].nr_chunks;
	draft->chunks = calloc(total + 1, sizeof(*draft->chunks));
	draft->stripes = calloc(writer->nr_stripes, sizeof(*draft->stripes));
	if (!draft->chunks || !draft->stripes)
		return fail(commit, -ENOMEM, draft->name, "chunks");
	for (uint32_t i = 0; i < writer->nr_stripes; i++) {
		struct writer_stripe *from = &writer->stripes[i];

		if (from->is_linked && !from->nr_chunks)
			from->file.size = 0; /* not needed */
		for (size_t c = 0; c < from->nr_chunks; c++) {
			struct ccr_image_chunk *to = &draft->chunks[draft->nr_chunks++];

			*to = from->chunks[c];
			to->stripe = to->is_zero ? 0 : draft->nr_stripes;
		}
		if (!from->file.size)
			continue;
		draft->stripes[draft->nr_stripes] = from->file;
		ccr_image_stripe_name(draft->stripes[draft->nr_stripes].name, draft->pid,
				      draft->nr_stripes);
		draft->nr_stripes++;
	}
	qsort(draft->chunks, draft->nr_chunks, sizeof(*draft->chunks), by_position);
	return ccr__image_check(draft, commit->error, commit->error_size);
}

/* An earlier dump may have written it without. */
static int sync_linked(const struct ccr_image_writer *writer, const char *name)
{
	const int fd = openat(writer->dirfd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	int ret = fd < 0 || fsync(fd) ? -errno : 0;

	if (fd >= 0 && close(fd) && !ret)
		ret = -errno;
	return ret;
}

/* Truncates stripes to their size (more may have been allocated) and syncs them if requested. */
static int sync_stripes(const struct commit *commit)
{
	const struct ccr_image_writer *writer = commit->writer;
	const bool sync = writer->options.sync;

	for (uint32_t i = 0; i < writer->nr_stripes; i++) {
		const struct ccr_image_stripe *file = &writer->stripes[i].file;

		if (file->fd < 0)
			continue;
		if (ftruncate(file->fd, file->size))
			return fail(commit, -errno, file->name, "length");
		if (sync) /* start writing all of them before we wait for the first */
			sync_file_range(file->fd, 0, 0, SYNC_FILE_RANGE_WRITE);
	}
	for (uint32_t i = 0; sync && i < writer->nr_stripes; i++) {
		const struct ccr_image_stripe *file = &writer->stripes[i].file;
		int ret = 0;

		if (file->fd >= 0 && fsync(file->fd))
			ret = -errno;
		else if (writer->stripes[i].is_linked && file->size)
			ret = sync_linked(writer, file->name);
		if (ret)
			return fail(commit, ret, file->name, "cannot fsync");
	}
	return 0;
}

/* A file system on a network may report a failed write only when the file is closed. */
static int close_stripes(const struct commit *commit)
{
	struct ccr_image_writer *writer = commit->writer;

	for (uint32_t i = 0; i < writer->nr_stripes; i++) {
		struct ccr_image_stripe *file = &writer->stripes[i].file;
		const int fd = file->fd;

		file->fd = -1; /* closed even if close fails */
		if (fd >= 0 && close(fd))
			return fail(commit, -errno, file->name, "cannot close");
	}
	return 0;
}

static int write_manifest(const struct commit *commit)
{
	const struct ccr_image_writer *writer = commit->writer;
	void *data;
	size_t size;
	int fd, ret;

	ret = ccr__image_pack(&writer->draft, &data, &size);
	if (ret)
		return fail(commit, ret, commit->manifest, "manifest");
	unlinkat(writer->dirfd, commit->manifest, 0);
	fd = openat(writer->dirfd, commit->manifest, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	ret = fd < 0 ? -errno : ccr_io_write_full(fd, data, size);
	if (!ret && writer->options.sync && fsync(fd))
		ret = -errno;
	if (fd >= 0 && close(fd) && !ret)
		ret = -errno;
	free(data);
	return ret ? fail(commit, ret, commit->manifest, "write") : 0;
}

/* Removes stripes of the replaced image, what a killed writer linked, and our own stripes without
 * chunks. */
static void remove_leftovers(const struct commit *commit)
{
	const struct ccr_image_writer *writer = commit->writer;
	char name[CCR_IMAGE_NAME_MAX];

	for (uint32_t i = writer->draft.nr_stripes; i < CCR_IMAGE_MAX_STRIPES; i++) {
		ccr_image_stripe_name(name, writer->draft.pid, i);
		if (unlinkat(writer->dirfd, name, 0))
			break;
	}
	for (uint32_t i = writer->nr_stripes; i < CCR_IMAGE_MAX_STRIPES; i++) {
		char final[CCR_IMAGE_NAME_MAX];

		ccr_image_stripe_name(final, writer->draft.pid, i);
		ccr__image_temporary_name(name, final);
		if (unlinkat(writer->dirfd, name, 0))
			break;
	}
	for (uint32_t i = 0; i < writer->nr_stripes; i++)
		if (writer->stripes[i].is_created && !writer->stripes[i].file.size)
			unlinkat(writer->dirfd, writer->stripes[i].file.name, 0);
}

static int sync_directory(const struct commit *commit)
{
	if (!commit->writer->options.sync || !fsync(commit->writer->dirfd))
		return 0;
	return fail(commit, -errno, "images directory", "cannot fsync");
}

static int rename_all(struct commit *commit)
{
	const struct ccr_image_writer *writer = commit->writer;
	const struct ccr_image *draft = &writer->draft;
	int ret;

	if (unlinkat(writer->dirfd, draft->name, 0) && errno != ENOENT)
		return fail(commit, -errno, draft->name, "cannot remove the old one");
	commit->is_replacing = true;
	for (uint32_t i = 0; i < writer->nr_stripes; i++) {
		const struct ccr_image_stripe *file = &writer->stripes[i].file;

		if (!file->size)
			continue;
		if (renameat(writer->dirfd, file->name, writer->dirfd,
			     draft->stripes[commit->nr_renamed].name))
			return fail(commit, -errno, file->name, "cannot rename");
		/* rename keeps both names of one file, as in the directory of the earlier image. */
		if (writer->stripes[i].is_linked)
			unlinkat(writer->dirfd, file->name, 0);
		commit->nr_renamed++;
	}
	ret = sync_directory(commit);
	if (ret)
		return ret;
	if (renameat(writer->dirfd, commit->manifest, writer->dirfd, draft->name))
		return fail(commit, -errno, commit->manifest, "cannot rename");
	remove_leftovers(commit);
	return sync_directory(commit);
}

static void remove_all(const struct commit *commit)
{
	const struct ccr_image_writer *writer = commit->writer;

	unlinkat(writer->dirfd, commit->manifest, 0);
	if (commit->is_replacing)
		unlinkat(writer->dirfd, writer->draft.name, 0);
	for (uint32_t i = 0; i < commit->nr_renamed; i++)
		unlinkat(writer->dirfd, writer->draft.stripes[i].name, 0);
}

int ccr_image_writer_commit(struct ccr_image_writer *writer, char *error, size_t error_size)
{
	struct commit commit = {.writer = writer, .error = error, .error_size = error_size};
	int ret;

	ccr__image_temporary_name(commit.manifest, writer->draft.name);
	ret = assemble(&commit);
	if (!ret)
		ret = sync_stripes(&commit);
	if (!ret)
		ret = close_stripes(&commit);
	if (!ret)
		ret = write_manifest(&commit);
	if (!ret)
		ret = rename_all(&commit);
	if (!ret) {
		ccr__image_writer_free(writer);
		return 0;
	}
	remove_all(&commit);
	ccr_image_writer_abort(writer);
	return ret;
}
