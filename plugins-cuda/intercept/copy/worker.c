// SPDX-License-Identifier: MIT
/*
 * A copying thread: copies pieces through its own pinned buffers on its own
 * stream. It creates them with its first piece. It frees them and ends after it
 * was idle for a while, when it is told to, or when a driver call failed. It
 * calls the driver's functions, never stubs: the gate already counts the call
 * that waits for it, and the thread has ended before memory is moved.
 */
#include "intercept/copy/worker.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "intercept/core/registration.h"

#define STACK_BYTES  (1 << 20)
#define IDLE_SECONDS 5
#define HUGE_PAGE    ((size_t)2 << 20)
#define BUFFER_BYTES (CCR__COPY_SLOTS * CCR__COPY_CHUNK)
#define MAP_BYTES    (BUFFER_BYTES + HUGE_PAGE)

/* A buffer, and the piece in it while the device works on it. */
struct slot {
	char *memory;
	CUevent event;
	size_t offset, bytes; /* of the copy; 0 bytes: the buffer is free */
};

struct worker {
	CUstream stream;
	struct slot slots[CCR__COPY_SLOTS];
	void *map, *pinned;
	struct ccr__scheduling scheduling;
	bool is_ready;
};

/* --- buffers and stream --- */

static void *map_buffers(struct worker *w, const struct ccr__node *node)
{
	void *memory =
		mmap(NULL, MAP_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		return NULL;
	w->map = memory;
	memory = (void *)(((uintptr_t)memory + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1));
	/* In a forked child, copy-on-write would separate our pages from those the device uses. */
	madvise(memory, BUFFER_BYTES, MADV_DONTFORK);
	madvise(memory, BUFFER_BYTES, MADV_HUGEPAGE);
	ccr__node_prefer(node, memory, BUFFER_BYTES);
	/* Fails on old kernels, which cannot check a copy's pages either. */
	return ccr__range_populate(memory, BUFFER_BYTES, true) ? memory : NULL;
}

static bool prepare(struct worker *w, const struct ccr__node *node)
{
	char *memory;

	if (w->is_ready)
		return true;
	memory = map_buffers(w, node);
	/* Counted, because a dump that leaves the memory to the driver does not end the threads. */
	if (!memory || ccr__register_host(ccr__real.cuMemHostRegister_v2, memory, BUFFER_BYTES,
					  0) != CUDA_SUCCESS)
		return false;
	w->pinned = memory;
	if (ccr__real.cuStreamCreate(&w->stream, CU_STREAM_NON_BLOCKING) != CUDA_SUCCESS)
		return false;
	for (int i = 0; i < CCR__COPY_SLOTS; i++) {
		w->slots[i].memory = memory + i * CCR__COPY_CHUNK;
		if (ccr__real.cuEventCreate(&w->slots[i].event, CU_EVENT_DISABLE_TIMING) !=
		    CUDA_SUCCESS)
			return false;
	}
	w->is_ready = true;
	return true;
}

/* Also frees what was created only in part. */
static void free_resources(struct worker *w)
{
	for (int i = 0; i < CCR__COPY_SLOTS; i++)
		if (w->slots[i].event)
			ccr__real.cuEventDestroy_v2(w->slots[i].event);
	if (w->stream)
		ccr__real.cuStreamDestroy_v2(w->stream);
	if (w->pinned) {
		ccr__real.cuMemHostUnregister(w->pinned);
		ccr__registration_count(-1);
	}
	if (w->map)
		munmap(w->map, MAP_BYTES);
}

/* --- one piece --- */

/* True when the host side of a piece may be touched. Faults in missing pages. */
static bool is_accessible(const struct ccr__copy_job *job, const struct slot *slot)
{
	const bool is_written = !job->copy.to_device;
	const char *at = job->copy.host + slot->offset;

	if (job->is_plain && (!is_written || ccr__range_is_resident(at, slot->bytes)))
		return true;
	return ccr__range_populate(at, slot->bytes, is_written);
}

static void stop(struct ccr__copy_job *job)
{
	__atomic_store_n(&job->next, job->nr_pieces, __ATOMIC_RELAXED);
}

static void refuse(struct ccr__copy_job *job, struct slot *slot)
{
	__atomic_store_n(&job->is_refused, true, __ATOMIC_RELAXED);
	stop(job);
	slot->bytes = 0;
}

/* Starts the transfer of one piece. Returns false when a driver call failed. */
static bool send(struct worker *w, struct ccr__copy_job *job, struct slot *slot)
{
	const struct ccr__copy *copy = &job->copy;
	CUresult result;

	if (copy->to_device && !is_accessible(job, slot)) {
		refuse(job, slot);
		return true;
	}
	if (copy->to_device) {
		memcpy(slot->memory, copy->host + slot->offset, slot->bytes);
		result = ccr__real.cuMemcpyHtoDAsync_v2(copy->device + slot->offset, slot->memory,
							slot->bytes, w->stream);
	} else {
		result = ccr__real.cuMemcpyDtoHAsync_v2(slot->memory, copy->device + slot->offset,
							slot->bytes, w->stream);
	}
	return result == CUDA_SUCCESS &&
	       ccr__real.cuEventRecord(slot->event, w->stream) == CUDA_SUCCESS;
}

/* Completes the transfer that send() started. Returns false when a driver call failed. */
static bool finish_piece(struct ccr__copy_job *job, struct slot *slot)
{
	const struct ccr__copy *copy = &job->copy;

	if (!slot->bytes)
		return true;
	if (ccr__real.cuEventSynchronize(slot->event) != CUDA_SUCCESS)
		return false;
	if (!copy->to_device && !is_accessible(job, slot)) {
		refuse(job, slot);
		return true;
	}
	if (!copy->to_device)
		memcpy(copy->host + slot->offset, slot->memory, slot->bytes);
	slot->bytes = 0;
	__atomic_add_fetch(&job->nr_done, 1, __ATOMIC_RELAXED);
	return true;
}

static bool next_piece(struct ccr__copy_job *job, struct slot *slot)
{
	const size_t piece = __atomic_fetch_add(&job->next, 1, __ATOMIC_RELAXED);

	if (piece >= job->nr_pieces)
		return false;
	slot->offset = piece * job->piece;
	slot->bytes = job->copy.bytes - slot->offset;
	if (slot->bytes > job->piece)
		slot->bytes = job->piece;
	return true;
}

static bool copy_pieces(struct worker *w, struct ccr__copy_job *job)
{
	unsigned int i = 0;

	for (;; i = (i + 1) % CCR__COPY_SLOTS) {
		if (!finish_piece(job, &w->slots[i]))
			return false;
		if (!next_piece(job, &w->slots[i]))
			break;
		if (!send(w, job, &w->slots[i]))
			return false;
	}
	for (int n = 0; n < CCR__COPY_SLOTS; n++)
		if (!finish_piece(job, &w->slots[(i + n) % CCR__COPY_SLOTS]))
			return false;
	return true;
}

/* Copies pieces of the job; none is in flight afterwards. False: the thread must end. */
static bool take_part(struct worker *w, struct ccr__copy_threads *threads)
{
	struct ccr__copy_job *job = &threads->job;

	if (__atomic_fetch_add(&job->nr_threads, 1, __ATOMIC_RELAXED) >= job->max_threads)
		return true;
	ccr__scheduling_apply(&job->scheduling, &w->scheduling);
	if (!prepare(w, &threads->node))
		return false;
	if (copy_pieces(w, job))
		return true;
	stop(job);
	ccr__real.cuStreamSynchronize(w->stream);
	return false;
}

/* --- the thread --- */

/* Waits for a job after `seen`; returns false when there will be none. The caller holds `lock`. */
static bool wait_for_job(struct ccr__copy_threads *threads, uint64_t seen)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += IDLE_SECONDS;
	while (threads->round == seen)
		if (threads->is_stopping ||
		    pthread_cond_timedwait(&threads->posted, &threads->lock, &until) == ETIMEDOUT)
			break;
	return threads->round != seen;
}

static void *work(void *argument)
{
	struct ccr__copy_threads *threads = argument;
	CUstreamCaptureMode relaxed = CU_STREAM_CAPTURE_MODE_RELAXED;
	struct worker w = {.scheduling = {.has_cpus = false}};
	bool is_usable;
	uint64_t seen;

	pthread_setname_np(pthread_self(), "criu-cuda-copy");
	pthread_mutex_lock(&threads->lock);
	/* The thread that starts this one holds the lock until it has posted the first job. */
	seen = threads->round - 1;
	pthread_mutex_unlock(&threads->lock);
	if (ccr__real.cuThreadExchangeStreamCaptureMode)
		ccr__real.cuThreadExchangeStreamCaptureMode(&relaxed);
	is_usable = ccr__real.cuCtxPushCurrent_v2(threads->ctx) == CUDA_SUCCESS;
	pthread_mutex_lock(&threads->lock);
	for (;;) {
		if (!wait_for_job(threads, seen))
			break;
		seen = threads->round;
		pthread_mutex_unlock(&threads->lock);
		is_usable = is_usable && take_part(&w, threads);
		pthread_mutex_lock(&threads->lock);
		threads->nr_left--;
		pthread_cond_signal(&threads->changed);
		if (!is_usable)
			break;
	}
	if (!--threads->nr_working)
		threads->seen = 0;
	__atomic_store_n(&threads->is_warm, false, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&threads->lock);
	free_resources(&w);
	pthread_mutex_lock(&threads->lock);
	threads->nr_alive--;
	pthread_cond_broadcast(&threads->changed);
	pthread_mutex_unlock(&threads->lock);
	return NULL;
}

int ccr__copy_worker_start(struct ccr__copy_threads *threads)
{
	sigset_t blocked, before;
	pthread_attr_t attr;
	pthread_t thread;
	int ret = pthread_attr_init(&attr);

	if (ret)
		return -ret;
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	/* The program handles faults of its memory, in whatever thread they occur. */
	sigfillset(&blocked);
	sigdelset(&blocked, SIGSEGV);
	sigdelset(&blocked, SIGBUS);
	pthread_sigmask(SIG_SETMASK, &blocked, &before);
	ret = pthread_create(&thread, &attr, work, threads);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	if (ret)
		return -ret;
	threads->nr_alive++;
	threads->nr_working++;
	return 0;
}
