// SPDX-License-Identifier: MIT
/*
 * GPU images: the bytes of device memory, in CRIU's images directory.
 * `cuda-<pid>.img` is the manifest (head below, then a protobuf message, see
 * image.proto), `cuda-<pid>-<stripe>.img` hold the chunks. Everything is
 * reached through a descriptor of the directory, never through a path.
 * Functions return 0 or -errno and write one sentence that names the file and
 * the field into `error`. Nothing here knows CUDA.
 */
#ifndef CCR_IMAGE_H
#define CCR_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CCR_IMAGE_MAGIC	   "CCRCUIMG" /* 8 bytes, no terminator in the file */
#define CCR_IMAGE_VERSION  1u
#define CCR_IMAGE_ALIGN	   4096u /* of chunks in a stripe, and of a stripe's size */
#define CCR_IMAGE_NAME_MAX 48	 /* "cuda-<pid>-<stripe>.img.tmp" */

/* Anything above is taken for damage. */
#define CCR_IMAGE_MAX_MANIFEST	  (64u << 20)
#define CCR_IMAGE_MAX_STRIPES	  1024u
#define CCR_IMAGE_MAX_DEVICES	  64u
#define CCR_IMAGE_MAX_ALLOCATIONS (1u << 20)
#define CCR_IMAGE_MAX_CHUNKS	  (1u << 21)
#define CCR_IMAGE_MAX_CHUNK	  (512ull << 20)
#define CCR_IMAGE_MAX_BYTES	  (1ull << 48)

/* The application made it itself by cuMemCreate; otherwise it stands for a cuMemAlloc. */
#define CCR_IMAGE_ALLOCATION_OWN_VMM 1u

struct ccr_image_device {
	uint8_t uuid[16];
	char name[128];
};

struct ccr_image_allocation {
	uint64_t id, address, size, requested;
	uint32_t device; /* index into devices */
	uint32_t flags;	 /* CCR_IMAGE_ALLOCATION_* */
};

struct ccr_image_chunk {
	uint32_t allocation; /* index */
	uint32_t stripe;
	uint64_t position; /* in the allocation */
	uint64_t length;
	uint64_t offset; /* in the stripe */
	uint64_t xxh3;
	bool is_zero; /* not stored */
};

struct ccr_image_stripe {
	int fd;
	uint64_t size;
	char name[CCR_IMAGE_NAME_MAX];
};

/* ---- reading ---- */

/* An opened image; every field was checked, so offsets and indices may be used as they are. */
struct ccr_image {
	int pid;
	char name[CCR_IMAGE_NAME_MAX];
	uint8_t id[16];
	uint64_t created_ns;
	char tool[32];
	uint32_t driver_version;
	uint64_t chunk_size;
	uint64_t bytes; /* of all allocations */
	uint32_t nr_devices, nr_allocations, nr_stripes;
	size_t nr_chunks;
	struct ccr_image_device *devices;
	struct ccr_image_allocation *allocations;
	struct ccr_image_chunk *chunks; /* by allocation, then position; no gaps */
	struct ccr_image_stripe *stripes;
};

/*
 * Opens and checks the image of `pid` in the directory; `dirfd` stays the
 * caller's and may be closed afterwards. Contents of chunks are not read.
 * -ENOENT: there is none; -EINVAL: not a manifest, or a field is wrong;
 * -EPROTONOSUPPORT: another version; -ENODATA: the manifest or a stripe is
 * short or missing; -EBADMSG: the manifest's checksum is wrong; other -errno
 * of open and read.
 */
int ccr_image_open(struct ccr_image **out, int dirfd, int pid, char *error, size_t error_size);
void ccr_image_close(struct ccr_image *image); /* NULL is fine */

/*
 * The same checks on a manifest in memory, without stripes (their descriptors
 * are -1): for tools and tests. `name` is what messages call it.
 */
int ccr_image_parse(struct ccr_image **out, const void *data, size_t size, const char *name,
		    char *error, size_t error_size);

/* Manifest of `pid`; stripe of `pid`. `out` has CCR_IMAGE_NAME_MAX bytes. */
void ccr_image_manifest_name(char *out, int pid);
void ccr_image_stripe_name(char *out, int pid, uint32_t stripe);
/* The pid in the name of a manifest, or 0 when it is not one. */
int ccr_image_pid_of_name(const char *name);

struct ccr_image_verify_result {
	uint64_t chunks, stored_bytes, zero_chunks;
};

/*
 * Reads every stored chunk with `threads` threads and compares checksums.
 * -EBADMSG: one is wrong (stripe file, chunk number and offset in `error`).
 */
int ccr_image_verify(const struct ccr_image *image, unsigned int threads,
		     struct ccr_image_verify_result *result, char *error, size_t error_size);
/* What a chunk with a wrong checksum is called. */
void ccr_image_explain_checksum(const struct ccr_image *image, size_t chunk, uint64_t found,
				char *error, size_t error_size);

/* ---- writing ---- */

struct ccr_image_options {
	uint32_t nr_writers; /* threads that append, each to a stripe of its own */
	uint32_t driver_version;
	uint64_t chunk_size; /* no chunk is longer */
	bool sync;	     /* fsync of everything before it gets its name */
};

struct ccr_image_writer;

/*
 * Starts an image under temporary names; leftovers of those names are removed.
 * The writer keeps a descriptor of its own for the directory.
 */
int ccr_image_writer_begin(struct ccr_image_writer **out, int dirfd, int pid,
			   const struct ccr_image_options *options, char *error, size_t error_size);

/* Both copy what they are given; call them from one thread, before any append. */
int ccr_image_writer_add_device(struct ccr_image_writer *writer,
				const struct ccr_image_device *device);
int ccr_image_writer_add_allocation(struct ccr_image_writer *writer,
				    const struct ccr_image_allocation *allocation);
uint32_t ccr_image_writer_nr_allocations(const struct ccr_image_writer *writer);
const struct ccr_image_allocation *
ccr_image_writer_allocation(const struct ccr_image_writer *writer, uint32_t index);
uint64_t ccr_image_writer_chunk_size(const struct ccr_image_writer *writer);
uint32_t ccr_image_writer_nr_writers(const struct ccr_image_writer *writer);
/* Descriptor of the images directory, owned by the writer. */
int ccr_image_writer_dirfd(const struct ccr_image_writer *writer);

/*
 * The rest of appending may run on as many threads as there are writers, each
 * with a number of its own below nr_writers; nothing is shared between them.
 *
 * stripe: opens the writer's file on first use; `size` grows by reserve.
 * reserve: a place for `length` bytes (rounded up to CCR_IMAGE_ALIGN); the caller writes them.
 * add_chunk: notes a chunk; its `stripe` is overwritten (writers that stored nothing have no file).
 * append: the three of them with one pwrite, and with checksum and zero test.
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
 * Checks that the chunks cover every allocation, gives the files their names
 * (stripes first, the manifest last, so that an image is whole or not there)
 * and frees the writer. An older image of the same pid is replaced. On error
 * the writer is freed too and nothing of it is left.
 */
int ccr_image_writer_commit(struct ccr_image_writer *writer, char *error, size_t error_size);
/* Removes everything written so far and frees the writer; NULL is fine. */
void ccr_image_writer_abort(struct ccr_image_writer *writer);

#endif
