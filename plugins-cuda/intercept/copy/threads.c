// SPDX-License-Identifier: MIT
/*
 * The caller's side: finds the threads of its context, makes those that are
 * missing, hands them one copy and waits. It never waits for another caller
 * while threads or buffers are being made: that may take until a kernel ends,
 * and the kernel may need the other caller.
 */
#include "intercept/copy/threads.h"

#include <string.h>

/* Threads pay off after this many copies of the smallest size. */
#define WORTH_COPIES 8
#define MAX_FAILURES 3

/* Pieces a thread takes of a small copy, and the least a piece is worth taking for. */
#define PIECES_EACH 4
#define PIECE_MIN   ((size_t)256 << 10)
#define PIECE_UNIT  ((size_t)64 << 10)

static struct {
	pthread_mutex_t lock;
	struct ccr__stage of[CCR_MAX_DEVICES];
	unsigned int nr_failures; /* in a row; atomic */
} stages = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void begin(struct ccr__stage *stage, CUcontext ctx, CUdevice ordinal)
{
	pthread_condattr_t monotonic;

	if (!stage->round) {
		pthread_mutex_init(&stage->use, NULL);
		pthread_mutex_init(&stage->lock, NULL);
		pthread_condattr_init(&monotonic);
		pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
		pthread_cond_init(&stage->posted, &monotonic);
		pthread_cond_init(&stage->changed, NULL);
		pthread_condattr_destroy(&monotonic);
		stage->round = 1;
	}
	stage->ctx = ctx;
	stage->node = ccr__node_of(ordinal);
	stage->seen = 0;
}

/* NULL: more contexts than there is room for. */
static struct ccr__stage *stage_of(CUcontext ctx, CUdevice ordinal)
{
	struct ccr__stage *found = NULL;

	pthread_mutex_lock(&stages.lock);
	for (size_t i = 0; i < CCR_MAX_DEVICES; i++) {
		struct ccr__stage *stage = &stages.of[i];

		if (stage->ctx == ctx) {
			found = stage;
			break;
		}
		if (!stage->ctx && !found)
			found = stage;
	}
	if (found && !found->ctx)
		begin(found, ctx, ordinal);
	pthread_mutex_unlock(&stages.lock);
	return found;
}

static CUcontext context_of(const struct ccr__stage *stage)
{
	CUcontext ctx;

	pthread_mutex_lock(&stages.lock);
	ctx = stage->ctx;
	pthread_mutex_unlock(&stages.lock);
	return ctx;
}

/* False: somebody else is making what this one would need. */
static bool take(struct ccr__stage *stage)
{
	if (pthread_mutex_trylock(&stage->use)) {
		if (!__atomic_load_n(&stage->is_warm, __ATOMIC_ACQUIRE))
			return false;
		pthread_mutex_lock(&stage->use);
	}
	return true;
}

static void plan(struct ccr__stage_job *job, const struct ccr__copy *copy,
		 const struct ccr__node *node)
{
	*job = (struct ccr__stage_job){.copy = *copy, .max_threads = ccr__core.copy_threads};
	job->manners = ccr__manners_of_caller(node);
	job->is_plain = ccr__range_is_plain(copy->host, copy->bytes, !copy->to_device);
	if (job->manners.has_cpus && (unsigned int)CPU_COUNT(&job->manners.cpus) < job->max_threads)
		job->max_threads = CPU_COUNT(&job->manners.cpus);
	job->piece = copy->bytes / (job->max_threads * PIECES_EACH) / PIECE_UNIT * PIECE_UNIT;
	if (job->piece < PIECE_MIN)
		job->piece = PIECE_MIN;
	if (job->piece > CCR__STAGE_CHUNK)
		job->piece = CCR__STAGE_CHUNK;
	job->nr_pieces = (copy->bytes + job->piece - 1) / job->piece;
}

/* `lock` is held. */
static bool is_worth_threads(struct ccr__stage *stage, size_t bytes)
{
	if (stage->nr_working)
		return true;
	stage->seen += bytes;
	return stage->seen / WORTH_COPIES >= ccr__core.copy_min;
}

/* `lock` and `use` are held. True when every piece was copied. */
static bool run(struct ccr__stage *stage)
{
	const struct ccr__stage_job *job = &stage->job;

	while (stage->nr_working < job->max_threads && !ccr__stage_worker_start(stage))
		;
	stage->nr_left = stage->nr_working;
	stage->round++;
	pthread_cond_broadcast(&stage->posted);
	while (stage->nr_left)
		pthread_cond_wait(&stage->changed, &stage->lock);
	__atomic_store_n(&stage->is_warm, stage->nr_working >= job->max_threads, __ATOMIC_RELEASE);
	return job->nr_done == job->nr_pieces;
}

/* Threads that never get anywhere, for want of pinned memory or of a newer kernel, are no use. */
static void judge(bool is_done, bool is_refused)
{
	if (is_done)
		__atomic_store_n(&stages.nr_failures, 0, __ATOMIC_RELAXED);
	else if (!is_refused &&
		 __atomic_add_fetch(&stages.nr_failures, 1, __ATOMIC_RELAXED) == MAX_FAILURES) {
		ccr_warn("large copies are left to the driver: copying threads failed %d times",
			 MAX_FAILURES);
		ccr__copy_disable();
	}
}

bool ccr__stage_copy(CUcontext ctx, CUdevice ordinal, const struct ccr__copy *copy)
{
	struct ccr__stage *stage = stage_of(ctx, ordinal);
	bool is_done = false, is_tried = false;

	if (!stage || !take(stage))
		return false;
	pthread_mutex_lock(&stage->lock);
	/* It may have been given to another context while this one waited. */
	if (context_of(stage) == ctx && is_worth_threads(stage, copy->bytes)) {
		plan(&stage->job, copy, &stage->node);
		is_done = run(stage);
		is_tried = true;
	}
	if (is_tried)
		judge(is_done, stage->job.is_refused);
	pthread_mutex_unlock(&stage->lock);
	pthread_mutex_unlock(&stage->use);
	return is_done;
}

static void end(struct ccr__stage *stage)
{
	int cancel;

	/* A thread that is cancelled in the wait would keep both locks. */
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	pthread_mutex_lock(&stage->use);
	pthread_mutex_lock(&stage->lock);
	stage->is_stopping = true;
	pthread_cond_broadcast(&stage->posted);
	while (stage->nr_alive)
		pthread_cond_wait(&stage->changed, &stage->lock);
	stage->is_stopping = false;
	pthread_mutex_unlock(&stage->lock);
	pthread_mutex_lock(&stages.lock);
	stage->ctx = NULL;
	pthread_mutex_unlock(&stages.lock);
	pthread_mutex_unlock(&stage->use);
	pthread_setcancelstate(cancel, NULL);
}

void ccr__stage_release(CUcontext ctx)
{
	/* A forked child has none of the threads. */
	if (!ccr__is_active())
		return;
	for (size_t i = 0; i < CCR_MAX_DEVICES; i++) {
		struct ccr__stage *stage = &stages.of[i];
		const CUcontext of = context_of(stage);

		if (of && (!ctx || of == ctx))
			end(stage);
	}
}
