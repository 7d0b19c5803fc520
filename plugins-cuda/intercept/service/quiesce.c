// SPDX-License-Identifier: MIT
/*
 * Brings the process to rest: no driver call in flight, no stream being captured,
 * no work on any device. cuCtxSynchronize is the only call that waits for every
 * stream, including those of other threads. It has no timeout, so it runs in a
 * separate thread that may outlive the attempt.
 */
#include "intercept/calls/calls.h"
#include "intercept/copy/threads.h"
#include "intercept/core/thread.h"
#include "intercept/core/mailbox.h"
#include "intercept/gate/gate.h"
#include "intercept/records/contexts.h"
#include "intercept/service/service.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define MAX_CONTEXTS 256
/* Of the thread that waits; untouched pages cost nothing. */
#define STACK_BYTES (1 << 20)

struct waiter {
	uint32_t done; /* futex */
	CUresult result;
	size_t nr_contexts;
	CUcontext contexts[MAX_CONTEXTS];
	uint64_t retained; /* primary contexts to release, one bit per device */
};

/* The waiter of an earlier attempt that timed out: the kernel may still run. */
static struct waiter *left_over;

static bool is_gone(CUresult result)
{
	return result == CUDA_ERROR_INVALID_CONTEXT || result == CUDA_ERROR_CONTEXT_IS_DESTROYED;
}

static void release_primary_contexts(const struct waiter *w)
{
	for (int device = 0; device < CCR_MAX_DEVICES; device++)
		if (w->retained & 1ull << device)
			ccr__real.cuDevicePrimaryCtxRelease_v2(device);
}

static void *wait_for_contexts(void *argument)
{
	struct waiter *w = argument;
	CUcontext popped;

	/* A thread inherits its name, and the service thread is found by that name. */
	pthread_setname_np(pthread_self(), "criu-cuda-wait");
	for (size_t i = 0; i < w->nr_contexts && w->result == CUDA_SUCCESS; i++) {
		w->result = ccr__real.cuCtxPushCurrent_v2(w->contexts[i]);
		if (is_gone(w->result)) {
			ccr__context_forget(w->contexts[i]);
			w->result = CUDA_SUCCESS;
			continue;
		}
		if (w->result != CUDA_SUCCESS)
			break;
		w->result = ccr__real.cuCtxSynchronize();
		ccr__real.cuCtxPopCurrent_v2(&popped);
	}
	release_primary_contexts(w);
	__atomic_store_n(&w->done, 1, __ATOMIC_RELEASE);
	ccr__futex_wake(&w->done);
	return NULL;
}

/* Collects the contexts in use: active primary ones and those that the program created. */
static CUresult collect(struct waiter *w)
{
	int nr_devices = 0;
	CUresult result = ccr__real.cuDeviceGetCount(&nr_devices);

	for (int device = 0; device < nr_devices && device < CCR_MAX_DEVICES; device++) {
		unsigned int flags;
		int active = 0;

		result = ccr__real.cuDevicePrimaryCtxGetState(device, &flags, &active);
		if (result != CUDA_SUCCESS)
			return result;
		if (!active)
			continue;
		result = ccr__real.cuDevicePrimaryCtxRetain(&w->contexts[w->nr_contexts], device);
		if (result != CUDA_SUCCESS)
			return result;
		w->retained |= 1ull << device;
		w->nr_contexts++;
	}
	w->nr_contexts +=
		ccr__context_list(w->contexts + w->nr_contexts, MAX_CONTEXTS - w->nr_contexts);
	return w->nr_contexts > MAX_CONTEXTS ? CUDA_ERROR_OUT_OF_MEMORY : result;
}

static int start(struct waiter *w)
{
	pthread_attr_t attr;
	int ret = -pthread_attr_init(&attr);

	if (ret)
		return ret;
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	/* The thread has signals blocked, as the service thread has. */
	ret = ccr__thread_create(&attr, STACK_BYTES, wait_for_contexts, w);
	pthread_attr_destroy(&attr);
	return ret;
}

/* Returns 0 when the waiter ended by the deadline, and then frees it. */
static int finish(struct waiter *w, uint64_t deadline_ns, CUresult *result)
{
	while (!__atomic_load_n(&w->done, __ATOMIC_ACQUIRE))
		if (ccr__futex_wait(&w->done, 0, deadline_ns)) {
			left_over = w;
			return -ETIMEDOUT;
		}
	*result = w->result;
	left_over = NULL;
	free(w);
	return 0;
}

static int synchronize(uint64_t deadline_ns, CUresult *result)
{
	struct waiter *w;
	int ret;

	if (left_over && finish(left_over, deadline_ns, result))
		return -ETIMEDOUT;
	w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	*result = collect(w);
	ret = *result == CUDA_SUCCESS ? start(w) : -EIO;
	if (ret) {
		release_primary_contexts(w);
		free(w);
		return ret;
	}
	ret = finish(w, deadline_ns, result);
	return ret ? ret : *result == CUDA_SUCCESS ? 0 : -EIO;
}

static void show_gate(bool is_closed)
{
	pthread_setname_np(pthread_self(), is_closed ? CCR_SERVICE_COMM_GATED : CCR_SERVICE_COMM);
	ccr__mailbox->gate_closed = is_closed;
}

/* The name changes first, so that it is right when a call of the program blocks or continues. */
int ccr__service_close_gate(uint64_t deadline_ns)
{
	show_gate(true);
	return ccr__gate_close(deadline_ns);
}

void ccr__service_open_gate(void)
{
	if (!ccr__mailbox->gate_closed)
		return;
	show_gate(false);
	ccr__gate_open();
}

static int close_without_captures(uint64_t deadline_ns)
{
	for (;;) {
		uint32_t captures;
		int ret;

		ccr__captures_drop_ended_threads();
		while ((captures = __atomic_load_n(&ccr__nr_captures, __ATOMIC_SEQ_CST))) {
			ccr__service_open_gate(); /* after an earlier try that timed out */
			if (ccr__futex_wait(&ccr__nr_captures, captures, deadline_ns))
				return -EBUSY;
		}
		ret = ccr__service_close_gate(deadline_ns);
		if (ret)
			return ret;
		/* A capture may have begun before; it cannot end while the gate is closed. */
		if (!__atomic_load_n(&ccr__nr_captures, __ATOMIC_SEQ_CST))
			return 0;
		ccr__service_open_gate();
	}
}

int ccr__quiesce_begin(uint32_t calls, uint64_t deadline_ns, CUresult *result, const char **what)
{
	int ret;

	if (calls && ccr__mailbox->gate_closed)
		ccr__gate_admit(calls, ccr__now_ns() / 2 + deadline_ns / 2);
	ret = close_without_captures(deadline_ns);

	*result = CUDA_SUCCESS;
	if (ret) {
		*what = ret == -EBUSY ? "a stream is being captured"
				      : "a driver call does not return";
		return -EBUSY;
	}
	ret = synchronize(deadline_ns, result);
	if (!ret) {
		/* Nothing is copied now: keep our threads and pinned buffers out of the image. */
		ccr__copy_threads_end(NULL);
		return 0;
	}
	*what = ret == -ETIMEDOUT ? "work on a device does not end" : "cuCtxSynchronize";
	if (ret == -ETIMEDOUT)
		return -EBUSY;
	ccr__service_open_gate();
	return ret;
}

int ccr__quiesce(uint64_t deadline_ns, CUresult *result, const char **what)
{
	const int ret = ccr__quiesce_begin(0, deadline_ns, result, what);

	if (ret != -EBUSY)
		return ret;
	ccr__service_open_gate();
	return -ETIMEDOUT;
}
