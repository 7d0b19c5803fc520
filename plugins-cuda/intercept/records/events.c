// SPDX-License-Identifier: MIT
#include "intercept/records/events.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "intercept/core/mailbox.h"

#define MAGIC	      0x3145504975726963ull /* "criuIPE1" */
#define FIRST_BUCKETS 1024

static_assert(sizeof(struct ccr__event_handle) <= sizeof(CUipcEventHandle), "room in the handle");

static struct {
	pthread_mutex_t lock;
	struct ccr__event **buckets;
	size_t nr_buckets;
} events = {.lock = PTHREAD_MUTEX_INITIALIZER};

uint64_t ccr__nr_events;

static struct ccr__event **bucket_of(CUevent event)
{
	/* Pointers to objects of the driver, which are aligned. */
	return &events.buckets[(uintptr_t)event / 16 % events.nr_buckets];
}

/* torch.multiprocessing destroys none of the events that it opens. False: there is no table. */
static bool grow(void)
{
	const size_t nr = events.nr_buckets ? 4 * events.nr_buckets : FIRST_BUCKETS;
	struct ccr__event **before = events.buckets, **buckets;
	const size_t nr_before = events.nr_buckets;

	if (ccr__nr_events < events.nr_buckets)
		return true;
	buckets = calloc(nr, sizeof(struct ccr__event *));
	if (!buckets)
		return before != NULL;
	events.buckets = buckets;
	events.nr_buckets = nr;
	for (size_t i = 0; i < nr_before; i++)
		while (before[i]) {
			struct ccr__event *e = before[i], **bucket = bucket_of(e->event);

			before[i] = e->next;
			e->next = *bucket;
			*bucket = e;
		}
	free(before);
	return true;
}

struct ccr__event *ccr__event_look_up(CUevent event)
{
	struct ccr__event *e;

	pthread_mutex_lock(&events.lock);
	e = events.nr_buckets ? *bucket_of(event) : NULL;
	while (e && e->event != event)
		e = e->next;
	pthread_mutex_unlock(&events.lock);
	return e;
}

void ccr__event_add(struct ccr__event *e, CUevent event)
{
	struct ccr__event **bucket;

	pthread_mutex_lock(&events.lock);
	bucket = bucket_of(event);
	e->event = event;
	e->next = *bucket;
	*bucket = e;
	__atomic_add_fetch(&ccr__nr_events, 1, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&events.lock);
}

void ccr__event_remove(struct ccr__event *e)
{
	struct ccr__event **link;

	pthread_mutex_lock(&events.lock);
	link = bucket_of(e->event);
	while (*link != e)
		link = &(*link)->next;
	*link = e->next;
	__atomic_sub_fetch(&ccr__nr_events, 1, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&events.lock);
}

/* A record for the current context, or NULL with the error. */
static struct ccr__event *make(CUresult *error)
{
	CUcontext ctx = NULL;
	struct ccr__event *e;
	CUdevice device;
	bool has_table;

	*error = CUDA_ERROR_INVALID_CONTEXT;
	if (ccr__real.cuCtxGetCurrent(&ctx) != CUDA_SUCCESS || !ctx ||
	    ccr__real.cuCtxGetDevice(&device) != CUDA_SUCCESS)
		return NULL;
	*error = CUDA_ERROR_NOT_SUPPORTED;
	if (!ccr__device_get(device)->has_words)
		return NULL;
	/* So that it can be added in any case. */
	pthread_mutex_lock(&events.lock);
	has_table = grow();
	pthread_mutex_unlock(&events.lock);
	*error = CUDA_ERROR_OUT_OF_MEMORY;
	e = has_table ? calloc(1, sizeof(*e)) : NULL;
	if (!e)
		return NULL;
	e->ctx = ctx;
	pthread_mutex_init(&e->lock, NULL);
	return e;
}

static void destroy(struct ccr__event *e)
{
	pthread_mutex_destroy(&e->lock);
	free(e);
}

struct ccr__event *ccr__event_new(void)
{
	struct ccr__event *e;
	CUresult result;

	if (!ccr__core.has_memory || !ccr__is_active())
		return NULL;
	e = make(&result);
	if (!e)
		return NULL;
	result = CUDA_ERROR_NOT_SUPPORTED;
	ccr__memory_lock();
	e->page = ccr__event_slot_take(&e->slot);
	if (e->page)
		result = ccr__event_page_register(e->page, e->ctx);
	if (e->page && result != CUDA_SUCCESS)
		ccr__event_slot_give(e->page, e->slot);
	ccr__memory_unlock();
	if (result == CUDA_SUCCESS)
		return e;
	ccr_info("an event that processes may share is left to the driver: %s",
		 ccr_cuda_error_name(result));
	destroy(e);
	return NULL;
}

static CUresult error_of(int error)
{
	if (error == -ENOMEM)
		return CUDA_ERROR_OUT_OF_MEMORY;
	return error == -EMFILE || error == -ENFILE ? CUDA_ERROR_OPERATING_SYSTEM
						    : CUDA_ERROR_MAP_FAILED;
}

struct ccr__event *ccr__event_open(const struct ccr__event_handle *handle, CUresult *error)
{
	struct ccr__event *e;
	int ret = 0;

	*error = CUDA_ERROR_INVALID_CONTEXT;
	e = handle->pid == getpid() ? NULL : make(error);
	if (!e)
		return NULL;
	e->page = ccr__event_page_open(handle->pid, &handle->token, &ret);
	if (!e->page) {
		ccr_info("cuIpcOpenEventHandle: process %d: %s", handle->pid, strerror(-ret));
		*error = error_of(ret);
		destroy(e);
		return NULL;
	}
	e->slot = handle->slot;
	/* An event that was destroyed meanwhile says what the next one in the slot does. */
	*error = handle->slot < CCR__EVENT_SLOTS ? ccr__event_page_register(e->page, e->ctx)
						 : CUDA_ERROR_MAP_FAILED;
	if (*error == CUDA_SUCCESS) {
		e->page->nr_used++;
		ccr__event_page_share(e->page, 1);
		__atomic_add_fetch(&ccr__mailbox->event_opens, 1, __ATOMIC_RELAXED);
	}
	ccr__memory_unlock();
	if (*error == CUDA_SUCCESS)
		return e;
	destroy(e);
	return NULL;
}

void ccr__event_free(struct ccr__event *e)
{
	ccr__memory_lock();
	if (e->has_handle || e->page->is_foreign)
		ccr__event_page_share(e->page, -1);
	ccr__event_slot_give(e->page, e->slot);
	ccr__memory_unlock();
	destroy(e);
}

CUresult ccr__event_handle_of(struct ccr__event *e, CUipcEventHandle *handle)
{
	struct ccr__event_handle ours = {.magic = MAGIC, .pid = getpid(), .slot = e->slot};
	int ret;

	if (e->page->is_foreign)
		return CUDA_ERROR_INVALID_HANDLE;
	ccr__memory_lock();
	ret = ccr__event_page_publish(e->page);
	if (!ret && !e->has_handle)
		ccr__event_page_share(e->page, 1);
	e->has_handle |= !ret;
	ccr__memory_unlock();
	if (ret) {
		ccr_warn("cuIpcGetEventHandle: the event cannot be shared: %s", strerror(-ret));
		return CUDA_ERROR_OPERATING_SYSTEM;
	}
	ours.token = e->page->token;
	memset(handle, 0, sizeof(*handle));
	memcpy(handle, &ours, sizeof(ours));
	return CUDA_SUCCESS;
}

bool ccr__event_is_ours(const CUipcEventHandle *handle, struct ccr__event_handle *out)
{
	memcpy(out, handle, sizeof(*out));
	return out->magic == MAGIC && ccr__core.has_memory && ccr__is_active();
}

void ccr__events_drop_context(CUcontext ctx)
{
	struct ccr__event *gone = NULL;

	pthread_mutex_lock(&events.lock);
	for (size_t i = 0; ccr__nr_events && i < events.nr_buckets; i++) {
		struct ccr__event **link = &events.buckets[i];

		while (*link) {
			struct ccr__event *e = *link;

			if (e->ctx != ctx) {
				link = &e->next;
				continue;
			}
			*link = e->next;
			e->next = gone;
			gone = e;
			__atomic_sub_fetch(&ccr__nr_events, 1, __ATOMIC_RELAXED);
		}
	}
	pthread_mutex_unlock(&events.lock);
	while (gone) {
		struct ccr__event *e = gone;

		gone = e->next;
		ccr__event_free(e);
	}
	ccr__memory_lock();
	ccr__event_pages_drop_context(ctx);
	ccr__memory_unlock();
}

void ccr__events_reset(void)
{
	pthread_mutex_init(&events.lock, NULL);
	/* Not freed: the fork may have come while it was being replaced. */
	events.buckets = NULL;
	events.nr_buckets = 0;
	ccr__nr_events = 0;
	ccr__event_pages_reset();
}
