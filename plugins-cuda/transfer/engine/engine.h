// SPDX-License-Identifier: MIT
/*
 * Inside the transfer engine. A job is cut into items: runs of consecutive
 * chunks of one device that fit into one staging buffer. Workers take items in
 * order; each worker has two buffers (slots), so that one is filled or emptied
 * by the CPU while the device copies the other.
 *
 * engine->lock guards the list of tasks and every field of a task under
 * «state». Workers hold it only to take and to finish an item. The slots, device_streams
 * and the queue of a worker are its own.
 */
#ifndef CCR_TRANSFER_ENGINE_H
#define CCR_TRANSFER_ENGINE_H

#include <pthread.h>

#include "image/checksum/checksum.h"
#include "transfer/io/io.h"
#include "transfer/transfer.h"

#define TRANSFER_SLOTS		2
#define TRANSFER_CHUNKS_AN_ITEM 256

struct transfer_item {
	size_t first; /* chunk */
	uint32_t nr;
	int device;
	uint64_t bytes; /* in the staging buffer and in the stripe; zero chunks take none */
};

struct transfer_worker;
struct transfer_task;

/* What differs between load, dump and the two directions of a host buffer. */
struct transfer_kind {
	/*
	 * To the device: fills `buffer` with `bytes` of an item, from its byte `from` on. An
	 * item larger than the buffer comes in pieces, one after the other. NULL otherwise.
	 * Both note their errors themselves and return them.
	 */
	int (*fill)(struct transfer_worker *worker, struct transfer_task *task,
		    const struct transfer_item *item, char *buffer, uint64_t from, uint64_t bytes);
	/* From the device: takes a whole item out of `buffer`. */
	int (*drain)(struct transfer_worker *worker, struct transfer_task *task,
		     const struct transfer_item *item, char *buffer);
};

struct transfer_queue {
	size_t next, end; /* items; one queue per device */
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
	const struct ccr_image *image;	 /* load */
	struct ccr_image_writer *writer; /* dump */
	char *host;			 /* buffer */
	const struct ccr_io_ops *io;
	struct ccr_io_file *files; /* load: per stripe; dump: per worker */
	uint32_t nr_files;
	const struct cuda_parallel_config *config; /* the job's or the engine's */

	/* state */
	struct transfer_task *next;
	struct transfer_queue queues[CUDA_PARALLEL_MAX_DEVICES];
	uint32_t nr_queues;
	size_t items_left;     /* neither done nor given up */
	uint32_t *chunks_left; /* per range */
	int result;
	pthread_cond_t ended;

	pthread_mutex_t callback_lock;
	uint64_t done_bytes; /* under callback_lock */
	atomic_ullong zero_bytes, stored_bytes;
};

/* Checksums of chunks that pass by in order, in pieces of any size (cursor.c). */
struct transfer_cursor {
	const struct ccr_image_chunk *chunks;
	size_t index;  /* the chunk that is passing */
	uint64_t done; /* of it, its padding included */
	struct ccr_checksum checksum;
};

/* A device in one worker: the stream belongs to its context. */
struct transfer_device_stream {
	CUstream stream;
	CUevent events[TRANSFER_SLOTS];
};

struct transfer_slot {
	char *buffer;
	bool is_busy; /* the device is copying, or has copied and nobody waited yet */
	bool ends_item;
	struct transfer_task *task;
	struct transfer_item item;
};

struct transfer_worker {
	struct cuda_parallel_engine *engine;
	uint32_t number;
	pthread_t thread;
	char *staging;
	size_t staging_bytes;
	bool is_registered;
	int current_device; /* -1: no context is current in this thread */
	uint32_t next_slot;
	struct transfer_slot slots[TRANSFER_SLOTS];
	struct transfer_device_stream device_streams[CUDA_PARALLEL_MAX_DEVICES];
	struct ccr_io_queue io_queue;
	struct transfer_cursor cursor; /* of the item that is being read */
};

struct transfer_device {
	pthread_mutex_t lock; /* held while the context is made */
	CUcontext context;
};

struct cuda_parallel_engine {
	const struct ccr_cuda *cuda;
	struct cuda_parallel_config config;
	int nr_devices; /* that the driver has */
	struct transfer_device devices[CUDA_PARALLEL_MAX_DEVICES];

	pthread_mutex_t lock;
	pthread_cond_t work; /* a task came, or the end */
	struct transfer_task *tasks;
	bool is_ending;
	uint32_t nr_ready; /* workers that are set up, or have failed to be */
	int setup_result;
	char setup_error[512];
	pthread_cond_t ready;

	int setup_devices[CUDA_PARALLEL_MAX_DEVICES]; /* given to init */
	uint32_t nr_setup_devices;
	uint32_t nr_workers; /* threads that were started */
	struct transfer_worker *workers;
};

/* Makes the device's context current in this thread, after retaining it if need be. */
int transfer_device_use(struct transfer_worker *worker, int device, char *error, size_t size);

/* The worker's stream on a device, made on first use; its context is current afterwards. */
int transfer_device_stream_open(struct transfer_worker *worker, int device,
				struct transfer_device_stream **stream, char *error, size_t size);
/* Buffers, registration and device_streams of a worker, on its own thread; fini undoes any part of
 * it. */
int transfer_worker_init(struct transfer_worker *worker, char *error, size_t size);
void transfer_worker_fini(struct transfer_worker *worker);

/* worker.c */
void *transfer_worker_run(void *worker);

/* task.c */
/* Cuts the chunks into items; `room` is a staging buffer. 0 or -errno with job->error. */
int transfer_task_plan(struct transfer_task *task, uint64_t room);
/* Hands the task to the workers and waits for its end; frees what plan allocated. */
int transfer_task_run(struct transfer_task *task);
/* With the lock held: an item for this worker, or false. */
bool transfer_task_take(struct transfer_worker *worker, struct transfer_task **task,
			struct transfer_item *item);
/* One item has ended, well or not: counters, callbacks, end of the task (which may be gone then).
 */
void transfer_task_finish(struct transfer_task *task, const struct transfer_item *item);
/* Notes the first error of a task, with its text. Returns `ret`. */
int transfer_task_error(struct transfer_task *task, int ret, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* The same for a driver call. */
int transfer_task_cuda_error(struct transfer_task *task, CUresult result, const char *call,
			     int device, CUdeviceptr address, uint64_t bytes);
int transfer_cuda_errno(CUresult result);
/* The job's configuration, or the engine's; NULL with job->error when it is not accepted. */
const struct cuda_parallel_config *transfer_job_config(struct cuda_parallel_engine *engine,
						       struct cuda_parallel_job *job);
int transfer_check_config(const struct cuda_parallel_config *config, char *error, size_t size);
int transfer_check_range(struct cuda_parallel_engine *engine, struct cuda_parallel_job *job,
			 const struct cuda_parallel_range *range, uint32_t index);

/*
 * `bytes` more of the run of chunks pass by, each with its padding, without the zero ones;
 * `ended` is called for every chunk whose last byte was among them and may stop it.
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
