// SPDX-License-Identifier: MIT
/*
 * GPU images: the bytes of device memory, in CRIU's images directory.
 * `cuda-<pid>.img` is the manifest (head below, then a protobuf message, see
 * image.proto), `cuda-<pid>-<stripe>.img` hold the chunks. Files are opened
 * relative to a descriptor of the directory, never by path. Functions return 0,
 * or -errno with a sentence in `error` that names the file and the field.
 * Nothing here depends on CUDA.
 */
#ifndef CCR_IMAGE_H
#define CCR_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CCR_IMAGE_MAGIC	  "CCRCUIMG" /* 8 bytes, no terminator in the file */
#define CCR_IMAGE_VERSION 1u
/* With memory that the driver hands over: earlier versions must refuse such an image. */
#define CCR_IMAGE_VERSION_DRIVER 2u
#define CCR_IMAGE_ALIGN		 4096u /* alignment of chunks and of a stripe's size */
#define CCR_IMAGE_NAME_MAX	 48    /* "cuda-<pid>-<stripe>.img.tmp" */

/* Random bytes that all manifests of a dump have in common; see index/index.h. */
#define CCR_CHECKPOINT_ID_SIZE 16
/* True for the id in manifests of tools, and of 0.2.0 and before: they belong to no checkpoint. */
bool ccr_checkpoint_id_is_none(const uint8_t id[CCR_CHECKPOINT_ID_SIZE]);

/* An image that exceeds these limits is considered damaged. */
#define CCR_IMAGE_MAX_MANIFEST	  (64u << 20)
#define CCR_IMAGE_MAX_STRIPES	  1024u
#define CCR_IMAGE_MAX_DEVICES	  64u
#define CCR_IMAGE_MAX_ALLOCATIONS (1u << 20)
#define CCR_IMAGE_MAX_CHUNKS	  (1u << 21)
#define CCR_IMAGE_MAX_CHUNK	  (512ull << 20)
#define CCR_IMAGE_MAX_BYTES	  (1ull << 48)

/* The application created it with cuMemCreate; otherwise with cuMemAlloc. */
#define CCR_IMAGE_ALLOCATION_OWN_VMM 1u
/* All memory that the process has on one device, in an order that only the driver knows. */
#define CCR_IMAGE_ALLOCATION_DRIVER 2u

struct ccr_image_device {
	uint8_t uuid[16];
	char name[128];
};

struct ccr_image_allocation {
	uint64_t id, address, size, requested;
	uint32_t device; /* index into devices */
	uint32_t flags;	 /* CCR_IMAGE_ALLOCATION_* */
};

/* Memory of another process, whose bytes are in that process's image. */
struct ccr_image_import {
	uint64_t id, size;
	uint64_t allocation; /* id in the other image */
	uint32_t exporter;   /* pid in the name of the other image */
};

struct ccr_image_chunk {
	uint32_t allocation; /* index into allocations */
	uint32_t stripe;
	uint64_t position; /* within the allocation */
	uint64_t length;
	uint64_t offset; /* within the stripe */
	uint64_t xxh3;
	bool is_zero; /* all zero, so not stored */
};

struct ccr_image_stripe {
	int fd;
	uint64_t size;
	char name[CCR_IMAGE_NAME_MAX];
};

/* ---- reading ---- */

/* An open image. Every field was checked, so offsets and indices need no further checks. */
struct ccr_image {
	int pid;
	char name[CCR_IMAGE_NAME_MAX];
	uint8_t id[16];
	uint8_t checkpoint[CCR_CHECKPOINT_ID_SIZE]; /* zeroes: it belongs to none */
	uint64_t created_ns;
	char tool[32];
	uint32_t driver_version;
	uint32_t protocol; /* of the interceptor in the process; see common/protocol */
	uint64_t chunk_size;
	uint64_t bytes; /* sum of all allocations */
	bool is_driver; /* the driver handed the memory over: one allocation per device */
	uint32_t nr_devices, nr_allocations, nr_stripes, nr_imports;
	size_t nr_chunks;
	struct ccr_image_import *imports;
	struct ccr_image_device *devices;
	struct ccr_image_allocation *allocations;
	struct ccr_image_chunk *chunks; /* sorted by allocation, then position; without gaps */
	struct ccr_image_stripe *stripes;
	int dirfd;	/* of ccr_image_open_early, otherwise -1 */
	void *manifest; /* the bytes of its file; NULL after ccr_image_parse */
	size_t manifest_size;
};

/*
 * Opens and checks the image of `pid` in the directory, without reading the
 * contents of chunks. The caller keeps `dirfd` and may close it afterwards.
 * Free the image with ccr_image_close. Returns 0, or -ENOENT: there is no
 * image; -EINVAL: not a manifest, or a field is wrong; -EPROTONOSUPPORT:
 * another version, or a process whose interceptor this version does not
 * understand; -ENODATA: the manifest or a stripe is short or missing;
 * -EBADMSG: the manifest's checksum is wrong; or another -errno of open and
 * read.
 */
int ccr_image_open(struct ccr_image **out, int dirfd, int pid, char *error, size_t error_size);
void ccr_image_close(struct ccr_image *image); /* NULL is fine */

/*
 * The same for an image whose stripes still arrive: those that are not there have the descriptor
 * -1. Each has its name only when it is whole. ccr_image_open_stripe opens one of them once it is
 * there; it returns 0 for one that is open already, or an error of ccr_image_open.
 */
int ccr_image_open_early(struct ccr_image **out, int dirfd, int pid, char *error,
			 size_t error_size);
int ccr_image_open_stripe(struct ccr_image *image, uint32_t stripe, char *error, size_t error_size);

/*
 * The same checks on a manifest in memory, without stripes (their descriptors
 * are -1), for tools and tests. Messages call it `name`.
 */
int ccr_image_parse(struct ccr_image **out, const void *data, size_t size, const char *name,
		    char *error, size_t error_size);

/*
 * Whether a process with this image can be restored: the interceptor is part of
 * it and speaks the protocol of the version that dumped it. Returns 0, or
 * -EPROTONOSUPPORT with both versions and the remedy in `error`.
 */
int ccr_image_check_protocol(const struct ccr_image *image, char *error, size_t error_size);

/*
 * The bytes of a manifest, unchecked, which the caller frees. They are the identity of an image:
 * copies have the same, and nobody can guess the random ids and checksums in them.
 */
int ccr_image_read_manifest(void **data, size_t *size, int dirfd, int pid, char *error,
			    size_t error_size);

/* File names of the manifest and of a stripe of `pid`. `out` has CCR_IMAGE_NAME_MAX bytes. */
void ccr_image_manifest_name(char *out, int pid);
void ccr_image_stripe_name(char *out, int pid, uint32_t stripe);
/* The pid in the name of a manifest, or 0 if it is not the name of one. */
int ccr_image_pid_of_name(const char *name);

/*
 * Calls `each` with every name in the directory until it returns a value other
 * than 0, and returns that value, or -errno of reading the directory.
 */
int ccr_image_for_each_name(int dirfd, int (*each)(const char *name, void *data), void *data);

struct ccr_image_verify_result {
	uint64_t chunks, stored_bytes, zero_chunks;
};

/*
 * Reads every stored chunk with `threads` threads and compares checksums.
 * Returns -EBADMSG if one is wrong; `error` names stripe file, chunk and
 * offset.
 */
int ccr_image_verify(const struct ccr_image *image, unsigned int threads,
		     struct ccr_image_verify_result *result, char *error, size_t error_size);
/*
 * The same for stored chunks of at least `bytes` together, chosen at random: all of a
 * smaller image.
 */
int ccr_image_verify_sample(const struct ccr_image *image, uint64_t bytes, unsigned int threads,
			    struct ccr_image_verify_result *result, char *error, size_t error_size);
/*
 * Reads the image with `threads` threads: allocation i goes to into[i], which must be zeroed,
 * because zero chunks are left out. Checksums are compared if `is_compared`; errors are those of
 * ccr_image_verify.
 */
int ccr_image_read(const struct ccr_image *image, char *const *into, bool is_compared,
		   unsigned int threads, char *error, size_t error_size);
/* Writes the error message for a chunk with a wrong checksum. */
void ccr_image_explain_checksum(const struct ccr_image *image, size_t chunk, uint64_t found,
				char *error, size_t error_size);

/* ---- writing ---- */

struct ccr_image_options {
	uint32_t nr_writers; /* number of threads that append, each to its own stripe */
	uint32_t driver_version;
	uint32_t protocol;   /* of the interceptor in the process; 0: that of this build */
	uint64_t chunk_size; /* largest length of a chunk */
	uint8_t checkpoint[CCR_CHECKPOINT_ID_SIZE]; /* zeroes: none */
	bool sync;				    /* fsync all files before they are renamed */
	bool is_driver;				    /* the driver handed the memory over */
};

struct ccr_image_writer;

/*
 * Begins an image under temporary names and removes leftovers with these names.
 * The writer duplicates `dirfd`. Commit or abort frees the writer.
 */
int ccr_image_writer_begin(struct ccr_image_writer **out, int dirfd, int pid,
			   const struct ccr_image_options *options, char *error, size_t error_size);

/* They copy their arguments. Call them from one thread, before the first append. */
int ccr_image_writer_add_device(struct ccr_image_writer *writer,
				const struct ccr_image_device *device);
int ccr_image_writer_add_allocation(struct ccr_image_writer *writer,
				    const struct ccr_image_allocation *allocation);
int ccr_image_writer_add_import(struct ccr_image_writer *writer,
				const struct ccr_image_import *import);
uint32_t ccr_image_writer_nr_allocations(const struct ccr_image_writer *writer);
const struct ccr_image_allocation *
ccr_image_writer_allocation(const struct ccr_image_writer *writer, uint32_t index);
uint64_t ccr_image_writer_chunk_size(const struct ccr_image_writer *writer);
uint32_t ccr_image_writer_nr_writers(const struct ccr_image_writer *writer);
/* Descriptor of the images directory; the writer closes it. */
int ccr_image_writer_dirfd(const struct ccr_image_writer *writer);

/*
 * Takes over the stripes of an open earlier image, which may be deleted afterwards: stripe i
 * becomes number nr_writers + i, and ccr_image_writer_add_chunk with that number refers to bytes of
 * it. It is a hard link, so nothing is ever written to it. Those without chunks are left out of the
 * image. Call it once, before the threads begin. Returns -errno with the reason in `error` if not
 * all of them can be linked: then none is, and the writer can be used as before. The files must
 * belong to this user, and no other may write them.
 */
int ccr_image_writer_link(struct ccr_image_writer *writer, const struct ccr_image *earlier,
			  char *error, size_t error_size);

/*
 * The following functions may be called from nr_writers threads at the same time, each with its own
 * number below nr_writers. The threads share no state.
 *
 * stripe: opens the writer's file on first use; reserve increases `size`.
 * reserve: reserves `length` bytes (rounded up to CCR_IMAGE_ALIGN), which the caller writes.
 * add_chunk: records a chunk. The commit overwrites `stripe`, since writers that stored nothing
 * have no file.
 * append: does all three with one pwrite, and computes the checksum and tests for zeroes.
 */
int ccr_image_writer_stripe(struct ccr_image_writer *writer, uint32_t number,
			    const struct ccr_image_stripe **stripe, char *error, size_t error_size);
uint64_t ccr_image_writer_reserve(struct ccr_image_writer *writer, uint32_t number,
				  uint64_t length);
int ccr_image_writer_add_chunk(struct ccr_image_writer *writer, uint32_t number,
			       const struct ccr_image_chunk *chunk);
int ccr_image_writer_append(struct ccr_image_writer *writer, uint32_t number, uint32_t allocation,
			    uint64_t position, const void *data, uint64_t length, char *error,
			    size_t error_size);

/*
 * Checks that the chunks cover every allocation, renames the files and frees
 * the writer. The manifest is renamed last, so an image is either complete or
 * absent. It replaces an older image of the same pid. On error it removes all
 * files and frees the writer too.
 */
int ccr_image_writer_commit(struct ccr_image_writer *writer, char *error, size_t error_size);
/* Removes everything written so far and frees the writer; NULL is fine. */
void ccr_image_writer_abort(struct ccr_image_writer *writer);

#endif
