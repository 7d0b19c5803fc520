// SPDX-License-Identifier: MIT
/*
 * The caller's side: finds the threads of its context, starts those that are
 * missing, gives them one copy and waits. It never waits while another caller
 * starts threads or allocates buffers: that may wait for a kernel to end, and the
 * kernel may depend on this caller.
 */
#include "intercept/copy/threads.h"

#include <string.h>

#include "common/protocol/protocol.h"
#include "intercept/copy/worker.h"
#include "intercept/core/core.h"

/* Threads pay off after this many copies of the smallest size. */
#define WORTH_COPIES 8
#define MAX_FAILURES 3

/* Number of pieces for each thread of a small copy, and the smallest size of a piece. */
#define PIECES_EACH 4
#define PIECE_MIN   ((size_t)256 << 10)
#define PIECE_UNIT  ((size_t)64 << 10)

static struct {
	pthread_mutex_t lock;
	struct ccr__copy_threads of[CCR_MAX_DEVICES];
	unsigned int nr_failures; /* consecutive ones; atomic */
} all = {.lock = PTHREAD_MUTEX_INITIALIZER};

size_t ccr__copy_min = SIZE_MAX;

void ccr__copy_enable(void)
{
	__atomic_store_n(&ccr__copy_min, ccr__core.copy_min, __ATOMIC_RELAXED);
}

void ccr__copy_disable(void)
{
	__atomic_store_n(&ccr__copy_min, SIZE_MAX, __ATOMIC_RELAXED);
}

static void begin(struct ccr__copy_threads *threads, CUcontext ctx, CUdevice ordinal)
{
	pthread_condattr_t monotonic;

	if (!threads->round) {
		pthread_mutex_init(&threads->use, NULL);
		pthread_mutex_init(&threads->lock, NULL);
		pthread_condattr_init(&monotonic);
		pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
		pthread_cond_init(&threads->posted, &monotonic);
		pthread_cond_init(&threads->changed, NULL);
		pthread_condattr_destroy(&monotonic);
		threads->round = 1;
	}
	threads->ctx = ctx;
	threads->node = ccr__node_of(ordinal);
	threads->seen = 0;
}

/* Returns NULL when there are more contexts than table entries. */
static struct ccr__copy_threads *threads_of(CUcontext ctx, CUdevice ordinal)
{
	struct ccr__copy_threads *found = NULL;

	pthread_mutex_lock(&all.lock);
	for (size_t i = 0; i < CCR_MAX_DEVICES; i++) {
		struct ccr__copy_threads *threads = &all.of[i];

		if (threads->ctx == ctx) {
			found = threads;
			break;
		}
		if (!threads->ctx && !found)
			found = threads;
	}
	if (found && !found->ctx)
		begin(found, ctx, ordinal);
	pthread_mutex_unlock(&all.lock);
	return found;
}

static CUcontext context_of(const struct ccr__copy_threads *threads)
{
	CUcontext ctx;

	pthread_mutex_lock(&all.lock);
	ctx = threads->ctx;
	pthread_mutex_unlock(&all.lock);
	return ctx;
}

/* Returns false when another caller is starting the threads that this copy needs. */
static bool take(struct ccr__copy_threads *threads)
{
	if (pthread_mutex_trylock(&threads->use)) {
		if (!__atomic_load_n(&threads->is_warm, __ATOMIC_ACQUIRE))
			return false;
		pthread_mutex_lock(&threads->use);
	}
	return true;
}

static void plan(struct ccr__copy_job *job, const struct ccr__copy *copy,
		 const struct ccr__node *node)
{
	*job = (struct ccr__copy_job){.copy = *copy, .max_threads = ccr__core.copy_threads};
	job->scheduling = ccr__scheduling_of_caller(node);
	job->is_plain = ccr__range_is_plain(copy->host, copy->bytes, !copy->to_device);
	if (job->scheduling.has_cpus &&
	    (unsigned int)CPU_COUNT(&job->scheduling.cpus) < job->max_threads)
		job->max_threads = CPU_COUNT(&job->scheduling.cpus);
	job->piece = copy->bytes / (job->max_threads * PIECES_EACH) / PIECE_UNIT * PIECE_UNIT;
	if (job->piece < PIECE_MIN)
		job->piece = PIECE_MIN;
	if (job->piece > CCR__COPY_CHUNK)
		job->piece = CCR__COPY_CHUNK;
	job->nr_pieces = (copy->bytes + job->piece - 1) / job->piece;
}

/* The caller holds `lock`. */
static bool is_worth_threads(struct ccr__copy_threads *threads, size_t bytes)
{
	if (threads->nr_working)
		return true;
	threads->seen += bytes;
	return threads->seen / WORTH_COPIES >= ccr__core.copy_min;
}

/* The caller holds `lock` and `use`. Returns true when every piece was copied. */
static bool run(struct ccr__copy_threads *threads)
{
	const struct ccr__copy_job *job = &threads->job;

	while (threads->nr_working < job->max_threads && !ccr__copy_worker_start(threads))
		;
	threads->nr_left = threads->nr_working;
	threads->round++;
	pthread_cond_broadcast(&threads->posted);
	while (threads->nr_left)
		pthread_cond_wait(&threads->changed, &threads->lock);
	__atomic_store_n(&threads->is_warm, threads->nr_working >= job->max_threads,
			 __ATOMIC_RELEASE);
	return job->nr_done == job->nr_pieces;
}

/* Gives up on threads that always fail, because of pinned memory or an old kernel. */
static void count_failures(bool is_done, bool is_refused)
{
	if (is_done)
		__atomic_store_n(&all.nr_failures, 0, __ATOMIC_RELAXED);
	else if (!is_refused &&
		 __atomic_add_fetch(&all.nr_failures, 1, __ATOMIC_RELAXED) == MAX_FAILURES) {
		ccr_warn("large copies are left to the driver: the copying threads failed %d times "
			 "in a row",
			 MAX_FAILURES);
		ccr__copy_disable();
	}
}

bool ccr__copy_by_threads(CUcontext ctx, CUdevice ordinal, const struct ccr__copy *copy)
{
	struct ccr__copy_threads *threads = threads_of(ctx, ordinal);
	bool is_done = false, is_tried = false;

	if (!threads || !take(threads))
		return false;
	pthread_mutex_lock(&threads->lock);
	/* Another context may have got the entry while this caller waited. */
	if (context_of(threads) == ctx && is_worth_threads(threads, copy->bytes)) {
		plan(&threads->job, copy, &threads->node);
		is_done = run(threads);
		is_tried = true;
	}
	if (is_tried)
		count_failures(is_done, threads->job.is_refused);
	pthread_mutex_unlock(&threads->lock);
	pthread_mutex_unlock(&threads->use);
	return is_done;
}

static void end(struct ccr__copy_threads *threads)
{
	int cancel;

	/* A thread that is canceled while it waits would keep both locks. */
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	pthread_mutex_lock(&threads->use);
	pthread_mutex_lock(&threads->lock);
	threads->is_stopping = true;
	pthread_cond_broadcast(&threads->posted);
	while (threads->nr_alive)
		pthread_cond_wait(&threads->changed, &threads->lock);
	threads->is_stopping = false;
	pthread_mutex_unlock(&threads->lock);
	pthread_mutex_lock(&all.lock);
	threads->ctx = NULL;
	pthread_mutex_unlock(&all.lock);
	pthread_mutex_unlock(&threads->use);
	pthread_setcancelstate(cancel, NULL);
}

void ccr__copy_threads_end(CUcontext ctx)
{
	/* A forked child has none of the threads. */
	if (!ccr__is_active())
		return;
	for (size_t i = 0; i < CCR_MAX_DEVICES; i++) {
		struct ccr__copy_threads *threads = &all.of[i];
		const CUcontext of = context_of(threads);

		if (of && (!ctx || of == ctx))
			end(threads);
	}
}
