// SPDX-License-Identifier: MIT
/*
 * Page files: the bytes of large host memory, which the process no longer has
 * when CRIU dumps it, so that they are not in CRIU's own images. `cuda-pages-<pid>-<id>.img` is the
 * page file, immutable once its manifest `cuda-host-<pid>.img` exists.
 * Functions return 0, or -errno with a sentence in `error` that names the file.
 * Reentrant.
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
	uint64_t address, size, offset; /* in bytes; the offset is in the page file */
	bool is_drivers; /* belongs to the driver, which removes it when it restores */
	bool is_shared;	 /* shared anonymous memory that no other process maps */
};

/* A whole mapping of the process that has lost its bytes; the pieces inside it say where they are.
 */
struct ccr_pages_emptied {
	uint64_t address, size; /* in bytes */
	uint32_t prot;		/* PROT_*, as before the dump */
	bool is_hidden;		/* its protection is PROT_NONE until it is filled */
	bool may_be_late;	/* it may be filled while the driver restores the process */
};

struct ccr_pages {
	int pid;
	uint8_t id[8];
	uint8_t checkpoint[CCR_CHECKPOINT_ID_SIZE]; /* zeroes: an image of 0.2.0 */
	char name[CCR_IMAGE_NAME_MAX];		    /* of the manifest */
	char file[CCR_IMAGE_NAME_MAX];		    /* of the page file */
	char tool[32];
	char directory[PATH_MAX];
	bool sync; /* fsync the manifest when it is written; not in the file */
	uint64_t created_ns, modified_ns;
	uint64_t size, stored, chunk_size; /* bytes */
	size_t nr_chunks;		   /* size / chunk_size, rounded up */
	uint64_t *xxh3;			   /* one per chunk */
	size_t nr_mappings;
	struct ccr_pages_mapping *mappings; /* sorted by address */
	size_t nr_emptied;
	struct ccr_pages_emptied *emptied; /* sorted by address */
};

/* Sets `name` and `file` from `pid` and `id`. */
void ccr_pages_name(struct ccr_pages *pages);
/* The pid in the name of a manifest of host memory, or 0 if it is not the name of one. */
int ccr_pages_pid_of_name(const char *name);
/* True for the path of a page file, also of a deleted one, which ends with " (deleted)". */
bool ccr_pages_is_page_file(const char *path);

/* Writes the manifest, replacing an older one of the same pid. Returns 0 or -errno. */
int ccr_pages_write(const struct ccr_pages *pages, int dirfd, char *error, size_t error_size);
/* Reads and checks a manifest, but not the page file. Returns -ENOENT if there is no manifest. */
int ccr_pages_open(struct ccr_pages **out, int dirfd, int pid, char *error, size_t error_size);
void ccr_pages_close(struct ccr_pages *pages); /* NULL is fine */

/*
 * Checks that the page file exists and has the size in the manifest; its bytes
 * are compared by whatever uses them. Returns 0, or -ENODATA: missing or short;
 * -EINVAL: another size.
 */
int ccr_pages_check(const struct ccr_pages *pages, int dirfd, char *error, size_t error_size);
/* Also reads the whole page file and compares checksums. Returns the same, or -EBADMSG: changed. */
int ccr_pages_verify(const struct ccr_pages *pages, int dirfd, char *error, size_t error_size);

/* Small enough to be still in the CPU's cache when the checksum is computed. */
#define CCR_PAGES_BUFFER (256u << 10)
/* Reads one chunk of the page file `fd`, through a buffer of CCR_PAGES_BUFFER bytes, and compares
 * its checksum. Returns 0; -EBADMSG: it was changed; or another -errno. */
int ccr_pages_compare_chunk(const struct ccr_pages *pages, int fd, size_t chunk, void *buffer,
			    char *error, size_t error_size);

/* The index of the emptied mapping that contains the address, or `nr_emptied`. */
size_t ccr_pages_find_emptied(const struct ccr_pages *pages, uint64_t address);

/*
 * Calls `each` for the manifest of every pid in the directory, sorted by pid,
 * until it returns a value other than 0, and returns that value. Returns -errno
 * when the directory cannot be read.
 */
int ccr_pages_for_each(int dirfd, int (*each)(int dirfd, int pid, void *data), void *data);

#endif
