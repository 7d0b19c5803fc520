// SPDX-License-Identifier: MIT
/*
 * Events that processes share. The program's event is one of the driver that only this process
 * has. With each record, the stream also writes the record's number into the event's slot
 * (records/event_page.h). A wait for an event whose last record another process has made is a wait
 * for that number; otherwise the driver's event says it. Events that we cannot share are the
 * driver's, and counted.
 */
#include "intercept/calls/calls.h"
#include "intercept/records/events.h"
#include "intercept/records/shared.h"

#include <time.h>

#define SHARED_FLAGS (CU_EVENT_INTERPROCESS | CU_EVENT_DISABLE_TIMING)
/* How long the host waits between two looks at a slot. */
#define FIRST_PAUSE_NS	 1000
#define LONGEST_PAUSE_NS 200000

/* --- records --- */

static uint64_t number_now(const struct ccr__event *e)
{
	return __atomic_load_n(&ccr__event_slot_of(e)->begun, __ATOMIC_ACQUIRE);
}

/* Our calls have no variant for the per-thread default stream. */
static CUstream named(CUstream stream, bool per_thread)
{
	return !stream && per_thread ? CU_STREAM_PER_THREAD : stream;
}

static bool is_capturing(CUstream stream)
{
	CUstreamCaptureStatus status = CU_STREAM_CAPTURE_STATUS_NONE;

	return __atomic_load_n(&ccr__nr_captures, __ATOMIC_SEQ_CST) &&
	       ccr__real.cuStreamIsCapturing(stream, &status) == CUDA_SUCCESS &&
	       status != CU_STREAM_CAPTURE_STATUS_NONE;
}

static CUresult registered(struct ccr__event *e)
{
	CUresult result;

	if (__atomic_load_n(&e->page->registered, __ATOMIC_ACQUIRE))
		return CUDA_SUCCESS;
	ccr__memory_lock();
	result = ccr__event_page_register(e->page, e->ctx);
	ccr__memory_unlock();
	return result;
}

static CUdeviceptr word_of(const struct ccr__event *e, uint64_t number)
{
	return (uintptr_t)&ccr__event_slot_of(e)->done[number % CCR__EVENT_WORDS];
}

/* Makes the stream wait for a record. */
static CUresult await(struct ccr__event *e, CUstream stream, uint64_t number)
{
	return ccr__real.cuStreamWaitValue64_v2(stream, word_of(e, number), number,
						CU_STREAM_WAIT_VALUE_GEQ);
}

/* A record failed: the last one is that before, unless another process has begun one meanwhile. */
static void take_back(struct ccr__event_slot *slot, uint64_t number)
{
	uint64_t last = number;

	if (!__atomic_compare_exchange_n(&slot->begun, &last, number - 1, false, __ATOMIC_ACQ_REL,
					 __ATOMIC_RELAXED))
		__atomic_store_n(&slot->done[number % CCR__EVENT_WORDS], number, __ATOMIC_RELEASE);
}

/* The stream says to all when it gets here. */
static CUresult announce(struct ccr__event *e, CUstream stream, uint64_t *number)
{
	struct ccr__event_slot *slot = ccr__event_slot_of(e);
	CUresult result = registered(e);
	uint64_t before;

	if (result != CUDA_SUCCESS)
		return result;
	*number = __atomic_add_fetch(&slot->begun, 1, __ATOMIC_ACQ_REL);
	before = *number > CCR__EVENT_WORDS ? *number - CCR__EVENT_WORDS : 0;
	/* A word never goes back. */
	if (!ccr__event_is_done(slot, before))
		result = await(e, stream, before);
	if (result == CUDA_SUCCESS)
		result = ccr__real.cuStreamWriteValue64_v2(stream, word_of(e, *number), *number, 0);
	if (result != CUDA_SUCCESS)
		take_back(slot, *number);
	return result;
}

/*
 * Records the event of the program in `call`, after the number: a thread that sees it complete sees
 * the number, too.
 */
#define RECORD(call, per_thread)                                     \
	struct ccr__event *e = ccr__event_find(event);               \
	const CUstream on = named(stream, per_thread);               \
	uint64_t number;                                             \
	CUresult result;                                             \
                                                                     \
	if (!e)                                                      \
		return call;                                         \
	if (is_capturing(on))                                        \
		return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;        \
	pthread_mutex_lock(&e->lock);                                \
	result = announce(e, on, &number);                           \
	if (result == CUDA_SUCCESS)                                  \
		result = call;                                       \
	if (result == CUDA_SUCCESS)                                  \
		__atomic_store_n(&e->own, number, __ATOMIC_RELEASE); \
	pthread_mutex_unlock(&e->lock);                              \
	return result;

/* In a capture only, and then it is a node of the graph. */
#define RECORD_EXTERNAL(call, per_thread)                                                          \
	const bool is_refused = ccr__event_find(event) && is_capturing(named(stream, per_thread)); \
                                                                                                   \
	return is_refused ? ccr__event_refuse_in_graph() : call;

CUresult ccr__wrap_cuEventRecord(CUevent event, CUstream stream){
	RECORD(ccr__real.cuEventRecord(event, stream), false)}

CUresult ccr__wrap_cuEventRecord_ptsz(CUevent event, CUstream stream){
	RECORD(ccr__real.cuEventRecord_ptsz(event, stream), true)}

CUresult ccr__wrap_cuEventRecordWithFlags(CUevent event, CUstream stream, unsigned int flags)
{
	if (flags) {
		RECORD_EXTERNAL(ccr__real.cuEventRecordWithFlags(event, stream, flags), false)
	}
	RECORD(ccr__real.cuEventRecordWithFlags(event, stream, flags), false)
}

CUresult ccr__wrap_cuEventRecordWithFlags_ptsz(CUevent event, CUstream stream, unsigned int flags)
{
	if (flags) {
		RECORD_EXTERNAL(ccr__real.cuEventRecordWithFlags_ptsz(event, stream, flags), true)
	}
	RECORD(ccr__real.cuEventRecordWithFlags_ptsz(event, stream, flags), true)
}

/* --- what is said about the last record --- */

/* The driver's event says it: the last record is ours, or there was none. */
static bool is_own(const struct ccr__event *e, uint64_t number)
{
	return __atomic_load_n(&e->own, __ATOMIC_ACQUIRE) == number;
}

/*
 * The same for a stream that is to wait, with the number of the last record. Not in the middle of a
 * record of ours: a wait that the driver gets before the write of its number can hold up that
 * write.
 */
static bool is_last_own(struct ccr__event *e, uint64_t *number)
{
	bool is_last;

	pthread_mutex_lock(&e->lock);
	*number = number_now(e);
	is_last = is_own(e, *number);
	pthread_mutex_unlock(&e->lock);
	return is_last;
}

#define WAIT(call, per_thread)                                        \
	struct ccr__event *e = ccr__event_find(event);                \
	const CUstream on = named(stream, per_thread);                \
	CUresult result;                                              \
	uint64_t number;                                              \
                                                                      \
	if (!e)                                                       \
		return call;                                          \
	if (is_capturing(on))                                         \
		return flags ? ccr__event_refuse_in_graph()           \
			     : CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED; \
	if (is_last_own(e, &number) || flags)                         \
		return call;                                          \
	result = registered(e);                                       \
	return result == CUDA_SUCCESS ? await(e, on, number) : result;

CUresult ccr__wrap_cuStreamWaitEvent(CUstream stream, CUevent event, unsigned int flags){
	WAIT(ccr__real.cuStreamWaitEvent(stream, event, flags), false)}

CUresult ccr__wrap_cuStreamWaitEvent_ptsz(CUstream stream, CUevent event, unsigned int flags)
{
	WAIT(ccr__real.cuStreamWaitEvent_ptsz(stream, event, flags), true)
}

/* An earlier record of ours says nothing, but an error of the context does. */
static CUresult state_of(CUevent event, const struct ccr__event_slot *slot, uint64_t number)
{
	const CUresult result = ccr__real.cuEventQuery(event);

	if (result != CUDA_SUCCESS && result != CUDA_ERROR_NOT_READY)
		return result;
	return ccr__event_is_done(slot, number) ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY;
}

CUresult ccr__wrap_cuEventQuery(CUevent event)
{
	struct ccr__event *e = ccr__event_find(event);
	const uint64_t number = e ? number_now(e) : 0;

	return !e || is_own(e, number) ? ccr__real.cuEventQuery(event)
				       : state_of(event, ccr__event_slot_of(e), number);
}

CUresult ccr__wrap_cuEventSynchronize(CUevent event)
{
	struct ccr__event *e = ccr__event_find(event);
	const uint64_t number = e ? number_now(e) : 0;
	struct timespec pause = {.tv_nsec = FIRST_PAUSE_NS};
	const struct ccr__event_slot *slot;
	CUresult result;

	if (!e || is_own(e, number))
		return ccr__real.cuEventSynchronize(event);
	/* The record may go meanwhile, with the context; the page stays while a call is in flight.
	 */
	slot = ccr__event_slot_of(e);
	while ((result = state_of(event, slot, number)) == CUDA_ERROR_NOT_READY) {
		nanosleep(&pause, NULL);
		if (pause.tv_nsec < LONGEST_PAUSE_NS)
			pause.tv_nsec *= 2;
	}
	return result;
}

/* --- life --- */

CUresult ccr__wrap_cuEventCreate(CUevent *event, unsigned int flags)
{
	struct ccr__event *e = NULL;
	CUresult result;

	if (event && (flags & SHARED_FLAGS) == SHARED_FLAGS)
		e = ccr__event_new();
	result = ccr__real.cuEventCreate(event, e ? flags & ~CU_EVENT_INTERPROCESS : flags);
	if (e && result == CUDA_SUCCESS)
		ccr__event_add(e, *event);
	else if (e)
		ccr__event_free(e);
	return result;
}

static void note_shared(CUevent event)
{
	ccr__memory_lock();
	ccr__shared_add(CCR__SHARED_EVENT, (uintptr_t)event);
	ccr__memory_unlock();
}

CUresult ccr__wrap_cuIpcGetEventHandle(CUipcEventHandle *handle, CUevent event)
{
	struct ccr__event *e = ccr__event_find(event);
	CUresult result;

	if (e)
		return handle ? ccr__event_handle_of(e, handle) : CUDA_ERROR_INVALID_VALUE;
	result = ccr__real.cuIpcGetEventHandle(handle, event);
	if (result == CUDA_SUCCESS)
		note_shared(event);
	return result;
}

static CUresult open_ours(CUevent *event, const struct ccr__event_handle *handle)
{
	CUresult result;
	struct ccr__event *e = ccr__event_open(handle, &result);

	if (!e)
		return result;
	result = ccr__real.cuEventCreate(event, CU_EVENT_DISABLE_TIMING);
	if (result == CUDA_SUCCESS)
		ccr__event_add(e, *event);
	else
		ccr__event_free(e);
	return result;
}

CUresult ccr__wrap_cuIpcOpenEventHandle(CUevent *event, CUipcEventHandle handle)
{
	struct ccr__event_handle ours;
	CUresult result;

	if (ccr__event_is_ours(&handle, &ours))
		return event ? open_ours(event, &ours) : CUDA_ERROR_INVALID_VALUE;
	result = ccr__real.cuIpcOpenEventHandle(event, handle);
	if (result == CUDA_SUCCESS)
		note_shared(*event);
	return result;
}

/* What was known of an event before it is destroyed: its number may be used again at once. */
struct forgotten {
	struct ccr__event *e;
	bool was_shared; /* by the driver */
};

static struct forgotten forget(CUevent event)
{
	struct forgotten f = {.e = ccr__event_find(event)};

	if (f.e)
		ccr__event_remove(f.e);
	if (!ccr__shared_has_events())
		return f;
	ccr__memory_lock();
	f.was_shared = ccr__shared_drop_all(CCR__SHARED_EVENT, (uintptr_t)event);
	ccr__memory_unlock();
	return f;
}

static CUresult destroyed(CUresult result, CUevent event, struct forgotten f)
{
	if (f.e && result == CUDA_SUCCESS)
		ccr__event_free(f.e);
	else if (f.e)
		ccr__event_add(f.e, event);
	if (f.was_shared && result != CUDA_SUCCESS)
		note_shared(event);
	return result;
}

CUresult ccr__wrap_cuEventDestroy(CUevent event)
{
	const struct forgotten f = forget(event);

	return destroyed(ccr__real.cuEventDestroy(event), event, f);
}

CUresult ccr__wrap_cuEventDestroy_v2(CUevent event)
{
	const struct forgotten f = forget(event);

	return destroyed(ccr__real.cuEventDestroy_v2(event), event, f);
}
