// SPDX-License-Identifier: MIT
/*
 * Page files: the bytes of large host memory, which a dumped process maps, so
 * that CRIU's own images hold none of them. `cuda-pages-<pid>-<id>.img` is the
 * page file, immutable once its manifest `cuda-host-<pid>.img` exists.
 * Functions return 0 or -errno and write one sentence that names the file into
 * `error`. Reentrant.
 */
#ifndef CCR_IMAGE_PAGES_H
#define CCR_IMAGE_PAGES_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "image/image.h"

#define CCR_PAGES_MAGIC	 "CCRPAGES"
#define CCR_PAGES_PREFIX "cuda-pages-"

#define CCR_PAGES_MAX_MAPPINGS (1u << 20)
#define CCR_PAGES_MAX_CHUNKS   (1u << 22)

struct ccr_pages_mapping {
	uint64_t address, size, offset; /* bytes; offset in the page file */
	bool is_drivers;		/* the driver removes it at its restore */
	bool is_shared;			/* shared anonymous memory, of this process alone */
};

struct ccr_pages {
	int pid;
	uint8_t id[8];
	char name[CCR_IMAGE_NAME_MAX]; /* of the manifest */
	char file[CCR_IMAGE_NAME_MAX]; /* of the page file */
	char tool[32];
	char directory[PATH_MAX];
	uint64_t created_ns, modified_ns;
	uint64_t size, stored, chunk_size; /* bytes */
	size_t nr_chunks;		   /* size / chunk_size, rounded up */
	uint64_t *xxh3;			   /* one for each chunk */
	size_t nr_mappings;
	struct ccr_pages_mapping *mappings; /* by address */
};

/* Fills name and file from pid and id. */
void ccr_pages_name(struct ccr_pages *pages);
/* The pid in the name of a manifest of host memory, or 0 when it is not one. */
int ccr_pages_pid_of_name(const char *name);
/* Whether a path is that of a page file, also of one that was deleted («… (deleted)»). */
bool ccr_pages_is_page_file(const char *path);

/* Writes the manifest; an older one of the same pid is replaced. */
int ccr_pages_write(const struct ccr_pages *pages, int dirfd, char *error, size_t error_size);
/* Reads and checks a manifest; -ENOENT: there is none. The page file is not looked at. */
int ccr_pages_open(struct ccr_pages **out, int dirfd, int pid, char *error, size_t error_size);
void ccr_pages_close(struct ccr_pages *pages); /* NULL is fine */

/*
 * The page file is there and what it was: size and time of the last change.
 * Where only that time differs (a copy), its contents are read and compared.
 * -ENODATA: missing or short; -EINVAL: another size; -EBADMSG: changed.
 */
int ccr_pages_check(const struct ccr_pages *pages, int dirfd, char *error, size_t error_size);
/* Reads all of it and compares checksums: 0, -EBADMSG, or as ccr_pages_check. */
int ccr_pages_verify(const struct ccr_pages *pages, int dirfd, char *error, size_t error_size);

/*
 * Calls `each` for the manifest of every pid in the directory, by pid, until it returns something
 * else than 0, which is handed on. -errno when the directory cannot be read.
 */
int ccr_pages_for_each(int dirfd, int (*each)(int dirfd, int pid, void *data), void *data);

#endif
