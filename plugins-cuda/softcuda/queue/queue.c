// SPDX-License-Identifier: MIT
// Streams as queues. A stream gets its own worker thread when it is first used. Every operation has
// a ticket, numbered in the order of submission in the process. The legacy default stream and the
// blocking streams of a context wait for each other's lower tickets, which is CUDA's rule and
// cannot form a cycle. All streams share one lock and one condition, because only correctness
// matters here.
#include "softcuda/softcuda.h"
#include "softcuda/queue/ipc_event.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct ccr_stream *streams; // of all contexts
	uint64_t ticket;
} queue = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

void ccr_queue_lock(void)
{
	pthread_mutex_lock(&queue.lock);
}

void ccr_queue_unlock(void)
{
	pthread_mutex_unlock(&queue.lock);
}

static void wait_change(void)
{
	pthread_cond_wait(&queue.changed, &queue.lock);
}

void ccr_stream_put(struct ccr_stream *stream)
{
	if (!--stream->refs)
		free(stream);
}

void ccr_event_put(struct ccr_event *event)
{
	if (--event->refs)
		return;
	if (event->point.stream)
		ccr_stream_put(event->point.stream);
	if (event->ipc)
		ccr_ipc_event_free(event->ipc);
	free(event);
}

static bool has_older(const struct ccr_stream *stream, uint64_t ticket)
{
	return stream->head && stream->head->ticket < ticket;
}

static bool is_blocking(const struct ccr_stream *stream)
{
	return !(stream->flags & CU_STREAM_NON_BLOCKING);
}

// Functions below that take an operation or stream require the lock, unless they say otherwise.
static bool may_run(const struct ccr_op *op)
{
	const struct ccr_stream *own = op->stream, *legacy = own->ctx->legacy;

	if (op->after.stream && op->after.stream->completed < op->after.seq)
		return false;
	if (!is_blocking(own))
		return true;
	if (own != legacy)
		return !legacy || !has_older(legacy, op->ticket);
	for (const struct ccr_stream *s = queue.streams; s; s = s->next)
		if (s->ctx == own->ctx && s != own && is_blocking(s) && has_older(s, op->ticket))
			return false;
	return true;
}

static void finish(struct ccr_op *op)
{
	struct ccr_stream *stream = op->stream;

	stream->head = op->next;
	if (!stream->head)
		stream->tail = NULL;
	stream->completed = op->seq;
	if (op->after.stream)
		ccr_stream_put(op->after.stream);
	if (op->event && op->event->ipc)
		ccr_ipc_event_end(op->event->ipc, op->number);
	if (op->event)
		ccr_event_put(op->event);
	if (op->await)
		ccr_event_put(op->await);
	pthread_cond_broadcast(&queue.changed);
}

static void free_op(struct ccr_op *op)
{
	free(op->staged);
	free(op);
}

static void unlink_stream(struct ccr_stream *stream)
{
	struct ccr_stream **at = &queue.streams;

	while (*at != stream)
		at = &(*at)->next;
	*at = stream->next;
	ccr_stream_put(stream);
}

static void *worker(void *arg)
{
	struct ccr_stream *stream = arg;
	struct ccr_op *op;

	ccr_queue_lock();
	for (;;) {
		struct ccr_ctx *ctx = stream->ctx;
		CUresult result = CUDA_SUCCESS;

		while (!stream->head && !stream->is_destroyed)
			wait_change();
		op = stream->head;
		if (!op)
			break;
		while (!may_run(op))
			wait_change();
		ccr_queue_unlock();
		// After an error the context skips all work, but its operations still complete.
		if (op->run && !atomic_load(&ctx->sticky))
			result = op->run(op);
		if (result != CUDA_SUCCESS)
			atomic_store(&ctx->sticky, (int)result);
		ccr_queue_lock();
		finish(op);
		ccr_queue_unlock();
		free_op(op);
		ccr_gate_leave();
		ccr_queue_lock();
	}
	unlink_stream(stream);
	ccr_queue_unlock();
	return NULL;
}

static bool start_worker(struct ccr_stream *stream)
{
	sigset_t all, old;
	pthread_attr_t attr;
	pthread_t thread;
	int error;

	// Block all signals, so that the program's own threads receive them.
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, 1 << 20);
	error = pthread_create(&thread, &attr, worker, stream);
	pthread_attr_destroy(&attr);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (!error)
		pthread_setname_np(thread, "softcuda-stream");
	stream->has_worker = !error;
	return !error;
}

struct ccr_op *ccr_op_new(struct ccr_stream *stream, CUresult (*run)(struct ccr_op *op))
{
	struct ccr_op *op = calloc(1, sizeof(*op));

	if (op) {
		op->stream = stream;
		op->run = run;
	}
	return op;
}

static void point_event_at(struct ccr_event *event, struct ccr_stream *stream, uint64_t seq)
{
	if (event->point.stream)
		ccr_stream_put(event->point.stream);
	stream->refs++;
	event->refs++;
	event->point = (struct ccr_point){stream, seq};
}

CUresult ccr_queue_submit(struct ccr_op *op, bool wait)
{
	struct ccr_stream *stream = op->stream;
	uint64_t seq;

	ccr_queue_lock();
	if (stream->is_capturing) {
		stream->is_invalidated |= wait;
		ccr_queue_unlock();
		free_op(op);
		return wait ? CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED : CUDA_SUCCESS;
	}
	if (stream->is_destroyed || (!stream->has_worker && !start_worker(stream))) {
		CUresult result =
			stream->is_destroyed ? CUDA_ERROR_INVALID_HANDLE : CUDA_ERROR_OUT_OF_MEMORY;

		ccr_queue_unlock();
		free_op(op);
		return result;
	}
	seq = op->seq = ++stream->submitted;
	op->ticket = ++queue.ticket;
	if (op->after.stream)
		op->after.stream->refs++;
	if (op->event)
		point_event_at(op->event, stream, seq);
	if (op->event && op->event->ipc)
		op->number = ccr_ipc_event_begin(op->event->ipc);
	if (op->await)
		op->await->refs++;
	if (stream->tail)
		stream->tail->next = op;
	else
		stream->head = op;
	stream->tail = op;
	ccr_gate_hold();
	stream->refs++;
	pthread_cond_broadcast(&queue.changed);
	while (wait && stream->completed < seq)
		wait_change();
	struct ccr_ctx *ctx = stream->ctx;
	ccr_stream_put(stream);
	ccr_queue_unlock();
	return wait ? (CUresult)atomic_load(&ctx->sticky) : CUDA_SUCCESS;
}

void ccr_queue_wait(struct ccr_point point)
{
	ccr_queue_lock();
	if (point.stream) {
		point.stream->refs++;
		while (point.stream->completed < point.seq)
			wait_change();
		ccr_stream_put(point.stream);
	}
	ccr_queue_unlock();
}

bool ccr_queue_is_done(struct ccr_point point)
{
	bool is_done;

	ccr_queue_lock();
	is_done = !point.stream || point.stream->completed >= point.seq;
	ccr_queue_unlock();
	return is_done;
}

static bool any_older(const struct ccr_ctx *ctx, uint64_t ticket)
{
	for (const struct ccr_stream *s = queue.streams; s; s = s->next)
		if ((!ctx || s->ctx == ctx) && has_older(s, ticket))
			return true;
	return false;
}

void ccr_queue_wait_context(struct ccr_ctx *ctx)
{
	uint64_t ticket;

	ccr_queue_lock();
	// Wait only for earlier operations, or a thread that keeps submitting would block us
	// forever.
	ticket = queue.ticket + 1;
	while (any_older(ctx, ticket))
		wait_change();
	ccr_queue_unlock();
}

bool ccr_queue_end_captures(const struct ccr_ctx *ctx)
{
	bool found = false;

	ccr_queue_lock();
	for (struct ccr_stream *s = queue.streams; s; s = s->next) {
		if (s->ctx != ctx || !s->is_capturing)
			continue;
		s->is_invalidated = true;
		found = true;
	}
	ccr_queue_unlock();
	return found;
}

// True if the stream has no operations left; for the legacy stream, also the streams it waits for.
bool ccr_queue_is_idle(struct ccr_stream *stream)
{
	bool is_idle;

	ccr_queue_lock();
	is_idle = !stream->head;
	for (struct ccr_stream *s = queue.streams; s && stream == stream->ctx->legacy; s = s->next)
		if (s->ctx == stream->ctx && is_blocking(s) && s->head)
			is_idle = false;
	ccr_queue_unlock();
	return is_idle;
}

struct ccr_stream *ccr_stream_new(struct ccr_ctx *ctx, unsigned int flags, int priority)
{
	struct ccr_stream *stream = calloc(1, sizeof(*stream));

	if (!stream)
		return NULL;
	stream->handle = ccr_handle_new(CCR_HANDLE_STREAM, stream);
	if (!stream->handle) {
		free(stream);
		return NULL;
	}
	stream->ctx = ctx;
	stream->flags = flags;
	stream->priority = priority;
	stream->refs = 1;
	ccr_queue_lock();
	stream->next = queue.streams;
	queue.streams = stream;
	ccr_queue_unlock();
	return stream;
}

// Call with the lock held. Queued operations still run; then the worker frees the stream.
static void destroy_locked(struct ccr_stream *stream)
{
	if (stream->is_destroyed)
		return;
	ccr_handle_drop(stream->handle);
	stream->is_destroyed = true;
	if (!stream->has_worker)
		unlink_stream(stream);
	else
		pthread_cond_broadcast(&queue.changed);
}

void ccr_stream_destroy(struct ccr_stream *stream)
{
	ccr_queue_lock();
	destroy_locked(stream);
	ccr_queue_unlock();
}

void ccr_stream_destroy_all(struct ccr_ctx *ctx)
{
	struct ccr_stream *stream, *next;

	ccr_queue_lock();
	for (stream = queue.streams; stream; stream = next) {
		next = stream->next;
		if (stream->ctx == ctx)
			destroy_locked(stream);
	}
	ctx->legacy = NULL;
	ccr_queue_unlock();
}
