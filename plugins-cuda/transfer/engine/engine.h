// SPDX-License-Identifier: MIT
/*
 * Internal header of the transfer engine. A job is split into items: runs of consecutive
 * chunks of one device that fit into a staging buffer. Workers take items in order. Each
 * worker has two buffers (slots), so that the CPU fills or empties one while the device
 * copies the other.
 *
 * engine->lock guards the list of tasks and the fields of a task below "state". Workers
 * hold it only to take and to finish an item. Only the worker itself uses its slots,
 * device_streams and queue.
 */
#ifndef CCR_TRANSFER_ENGINE_H
#define CCR_TRANSFER_ENGINE_H

#include <pthread.h>

#include "image/checksum/checksum.h"
#include "transfer/io/io.h"
#include "transfer/transfer.h"

#define TRANSFER_SLOTS		2
#define TRANSFER_CHUNKS_AN_ITEM 256
#define TRANSFER_SCAN_ERROR	128

struct transfer_item {
	size_t first; /* chunk */
	uint32_t nr;
	int device;
	uint64_t bytes; /* in the staging buffer and in the stripe, without zero chunks */
};

struct transfer_worker;
struct transfer_task;
struct transfer_reuse;

/* What differs between load, dump and the two directions of a host buffer. */
struct transfer_kind {
	/*
	 * To the device, else NULL: fills `buffer` with `bytes` bytes of an
	 * item, starting at its byte `from`. An item larger than the buffer is
	 * filled in consecutive pieces. Both functions record their errors and
	 * return them.
	 */
	int (*fill)(struct transfer_worker *worker, struct transfer_task *task,
		    const struct transfer_item *item, char *buffer, uint64_t from, uint64_t bytes);
	/* From the device, else NULL: stores a whole item, which is in `buffer`. */
	int (*drain)(struct transfer_worker *worker, struct transfer_task *task,
		     const struct transfer_item *item, char *buffer);
};

/* Indices of items; one queue per device. Items without stored bytes come last. */
struct transfer_queue {
	size_t next, end_of_data;
	size_t next_zero, end;
};

struct transfer_task {
	const struct transfer_kind *kind;
	struct cuda_parallel_engine *engine;
	struct cuda_parallel_job *job;
	const struct cuda_parallel_range *ranges;
	uint32_t nr_ranges;
	const struct ccr_image_chunk *chunks; /* .allocation is the index of a range */
	size_t nr_chunks;
	struct transfer_item *items;
	size_t nr_items;
	const struct ccr_image *image;	 /* of a load */
	struct ccr_image_writer *writer; /* of a dump */
	struct transfer_reuse *reuse;	 /* of a dump with an earlier image, else NULL */
	char *host;			 /* of a host buffer */
	const struct ccr_io_ops *io;
	struct ccr_io_file *files; /* of a load: per stripe; of a dump: per worker */
	uint32_t nr_files;
	const struct cuda_parallel_config *config; /* the job's or the engine's */
	uint32_t streams;     /* workers that may take part, at most the engine's */
	uint64_t chunk_bytes; /* of a staging buffer that is used, at most the engine's */

	/* state */
	struct transfer_task *next;
	struct transfer_queue queues[CUDA_PARALLEL_MAX_DEVICES];
	uint32_t nr_queues;
	uint32_t nr_seats;			  /* workers that take part */
	uint8_t seats[CUDA_PARALLEL_MAX_THREADS]; /* of each worker, from 1; 0: none */
	size_t items_left;			  /* neither finished nor dropped */
	uint32_t *chunks_left;			  /* per range */
	int result;
	pthread_cond_t ended;

	pthread_mutex_t callback_lock;
	uint64_t done_bytes; /* under callback_lock */
	atomic_ullong zero_bytes, stored_bytes;
};

/* Computes checksums of chunks from consecutive bytes, in pieces of any size (cursor.c). */
struct transfer_cursor {
	const struct ccr_image_chunk *chunks;
	size_t index;  /* the current chunk */
	uint64_t done; /* bytes of the current chunk that were seen, including padding */
	struct ccr_checksum checksum;
};

/* What a worker has for one device; the stream belongs to the device's context. */
struct transfer_device_stream {
	CUstream stream;
	CUevent events[TRANSFER_SLOTS];
};

struct transfer_slot {
	char *buffer;
	bool is_busy; /* copies were queued and the worker has not waited for them */
	bool ends_item;
	struct transfer_task *task;
	struct transfer_item item;
};

struct cuda_parallel_staging {
	char *memory;
	size_t bytes, part_bytes;
	uint32_t nr_parts; /* one for each worker */
	atomic_uint next_part;
	uint32_t nr_threads; /* that write to it, to be joined */
	pthread_t threads[CUDA_PARALLEL_MAX_THREADS];
	bool is_registered;	/* as a whole */
	uint32_t nr_registered; /* parts, if not */
};

struct transfer_worker {
	struct cuda_parallel_engine *engine;
	uint32_t number;
	pthread_t thread;
	int current_device; /* -1: no context is current in this thread */
	uint32_t next_slot;
	struct transfer_slot slots[TRANSFER_SLOTS];
	struct transfer_device_stream device_streams[CUDA_PARALLEL_MAX_DEVICES];
	struct ccr_io_queue io_queue;
	struct transfer_cursor cursor; /* for the item that is being read */
};

struct transfer_device {
	pthread_mutex_t lock; /* held while these are created */
	CUcontext context;
	CUmodule scan_module; /* NULL until a dump needs it */
	CUfunction scan_kernel;
};

struct cuda_parallel_engine {
	const struct ccr_cuda *cuda;
	struct cuda_parallel_config config;
	int nr_devices; /* number of devices in the driver */
	struct transfer_device devices[CUDA_PARALLEL_MAX_DEVICES];

	pthread_mutex_t lock;
	pthread_cond_t work; /* signaled for a new task, and at the end */
	struct transfer_task *tasks;
	bool is_ending;
	uint32_t nr_ready; /* workers that have finished their setup, or failed */
	int setup_result;
	char setup_error[512];
	pthread_cond_t ready;

	int setup_devices[CUDA_PARALLEL_MAX_DEVICES]; /* devices passed to init */
	uint32_t nr_setup_devices;
	struct cuda_parallel_staging *staging;
	uint32_t nr_workers; /* started threads */
	struct transfer_worker *workers;
};

/* The device's context, which is retained first if necessary. Returns 0, or -errno with `error`. */
int transfer_device_context(struct cuda_parallel_engine *engine, int device, CUcontext *context,
			    char *error, size_t size);
/* Makes the device's context current in this thread; retains it first if necessary. */
int transfer_device_use(struct transfer_worker *worker, int device, char *error, size_t size);

/* Finds or creates the worker's stream on a device and makes its context current. */
int transfer_device_stream_open(struct transfer_worker *worker, int device,
				struct transfer_device_stream **stream, char *error, size_t size);
/*
 * Gives a worker its buffers and creates its device_streams; the first one registers the buffers
 * of all. Call on the worker's thread. fini also cleans up after a partial init.
 */
int transfer_worker_init(struct transfer_worker *worker, char *error, size_t size);
void transfer_worker_fini(struct transfer_worker *worker);

/* staging.c */
/* Waits until all of it has its pages. */
void transfer_staging_wait(struct cuda_parallel_staging *staging);
/* The buffers of one worker. */
char *transfer_staging_part(const struct cuda_parallel_staging *staging, uint32_t number);
/* Whether an engine with this configuration can use it. */
bool transfer_staging_fits(const struct cuda_parallel_staging *staging,
			   const struct cuda_parallel_config *config);
/*
 * Registers all of it for every context, in parts if the driver refuses the whole. Needs a current
 * context, as unregister does, which also cleans up after a failure.
 */
CUresult transfer_staging_register(const struct ccr_cuda *cuda,
				   struct cuda_parallel_staging *staging);
void transfer_staging_unregister(const struct ccr_cuda *cuda,
				 struct cuda_parallel_staging *staging);

/* worker.c */
void *transfer_worker_run(void *worker);

/* scan.c, scan_ptx.c: the PTX text of the kernel in common/scan_kernel.h. */
extern const char transfer_scan_ptx[];
/*
 * Sets is_zero of the chunks of a dump that the device finds to be zero. `chunks`
 * are those of the task. What it cannot tell is left alone; job->scan_error then
 * says why, if a scan was wanted.
 */
void transfer_scan(struct transfer_task *task, struct ccr_image_chunk *chunks);
/* Unloads the kernel from all devices. Call once, when the engine ends. */
void transfer_scan_unload(struct transfer_worker *worker);

/* reuse.c */
/*
 * Finds the chunks of a dump in job->earlier. Without memory for that, and without an earlier
 * image, *reuse is NULL. end frees it.
 */
void transfer_reuse_begin(struct transfer_reuse **reuse, struct transfer_task *task);
void transfer_reuse_end(struct transfer_reuse *reuse);
/*
 * Whether the earlier image has the bytes of a chunk, which are at `data`. The answer is kept: it
 * is for the worker to store a chunk without it, and for transfer_reuse_take to add the others.
 */
bool transfer_reuse_has(struct transfer_worker *worker, struct transfer_task *task, size_t chunk,
			const char *data);
/*
 * When all chunks were copied: adds those that the earlier image has to the new one, but no stripe
 * of which little would be used: of those, the caller frees the chunks in `*again`, which are still
 * to be stored. Returns 0 or -ENOMEM.
 */
int transfer_reuse_take(struct transfer_task *task, struct ccr_image_chunk **again, size_t *nr);

/* task.c */
/* Splits the chunks into items of at most `room` bytes. Returns 0, or -errno with job->error. */
int transfer_task_plan(struct transfer_task *task, uint64_t room);
/* Gives the task to the workers, waits for its end and frees what plan allocated. */
int transfer_task_run(struct transfer_task *task);
/* Takes an item for this worker; false if there is none. Call with the lock held. */
bool transfer_task_take(struct transfer_worker *worker, struct transfer_task **task,
			struct transfer_item *item);
/* Call when an item is finished or failed. Runs callbacks; the task may be freed afterwards. */
void transfer_task_finish(struct transfer_task *task, const struct transfer_item *item);
/* Records an error and its text unless the task has one already. Returns `ret`. */
int transfer_task_error(struct transfer_task *task, int ret, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* The same for a failed driver call. */
int transfer_task_cuda_error(struct transfer_task *task, CUresult result, const char *call,
			     int device, CUdeviceptr address, uint64_t bytes);
int transfer_cuda_errno(CUresult result);
/*
 * Sets the task's configuration: the job's, else the engine's, and how much of the engine it may
 * use. Returns 0, or -EINVAL with job->error.
 */
int transfer_task_configure(struct transfer_task *task);
/* The number of the worker in the task, from 0; its own once it has taken an item. */
static inline uint32_t transfer_task_seat(const struct transfer_task *task,
					  const struct transfer_worker *worker)
{
	return task->seats[worker->number] - 1;
}
/* thread_times.c: milliseconds of the monotonic clock. */
double transfer_now_ms(void);
/* Notes what the worker did since `from`: it waited for the device, or worked on the host side. */
void transfer_note(struct transfer_task *task, const struct transfer_worker *worker, bool is_device,
		   double from);
int transfer_check_config(const struct cuda_parallel_config *config, char *error, size_t size);
int transfer_check_range(struct cuda_parallel_engine *engine, struct cuda_parallel_job *job,
			 const struct cuda_parallel_range *range, uint32_t index);

/*
 * Processes the next `bytes` bytes of a run of chunks, which include padding
 * but no zero chunks. Calls `ended` for every chunk that is complete; its error
 * stops the processing.
 */
typedef int (*transfer_chunk_ended)(void *argument, size_t chunk, uint64_t xxh3);
void transfer_cursor_begin(struct transfer_cursor *cursor, const struct ccr_image_chunk *chunks,
			   size_t first);
int transfer_cursor_feed(struct transfer_cursor *cursor, const char *data, uint64_t bytes,
			 transfer_chunk_ended ended, void *argument);

static inline CUdeviceptr transfer_address(const struct transfer_task *task,
					   const struct ccr_image_chunk *chunk)
{
	return task->ranges[chunk->allocation].address + chunk->position;
}

static inline uint64_t transfer_round_up(uint64_t bytes)
{
	return (bytes + CCR_IMAGE_ALIGN - 1) & ~(uint64_t)(CCR_IMAGE_ALIGN - 1);
}

#endif
