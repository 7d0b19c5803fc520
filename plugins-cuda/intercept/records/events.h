// SPDX-License-Identifier: MIT
/*
 * Events that the program may share with other processes: those that it has made with
 * CU_EVENT_INTERPROCESS, and those of others that it has opened. The program has an event
 * of the driver for each, which is of this process only; what others see is in a page
 * (event_page.h). Any thread may call; the lock of records.h is taken where it is needed.
 */
#ifndef CCR_INTERCEPT_EVENTS_H
#define CCR_INTERCEPT_EVENTS_H

#include "intercept/records/event_page.h"

struct ccr__event {
	struct ccr__event *next; /* in the same bucket */
	CUevent event;
	CUcontext ctx;
	struct ccr__event_page *page;
	uint32_t slot;
	bool has_handle;      /* of cuIpcGetEventHandle */
	pthread_mutex_t lock; /* one record at a time */
	uint64_t own;	      /* number of the last record of this process */
};

/* Of these, how many there are. */
extern uint64_t ccr__nr_events;

struct ccr__event *ccr__event_look_up(CUevent event);

/* The record of an event, or NULL: it is an event like any other. */
static inline struct ccr__event *ccr__event_find(CUevent event)
{
	return __atomic_load_n(&ccr__nr_events, __ATOMIC_RELAXED) ? ccr__event_look_up(event)
								  : NULL;
}

static inline struct ccr__event_slot *ccr__event_slot_of(const struct ccr__event *e)
{
	return &e->page->slots[e->slot];
}

/*
 * A record with a slot of a page that is registered in the current context, and without an event;
 * NULL: leave the event to the driver.
 */
struct ccr__event *ccr__event_new(void);
/* The same for a handle of another process, or NULL with the error. */
struct ccr__event *ccr__event_open(const struct ccr__event_handle *handle, CUresult *error);
/* From now on it is found by the event. */
void ccr__event_add(struct ccr__event *e, CUevent event);
/* Not any more; `e` is as it was. */
void ccr__event_remove(struct ccr__event *e);
/* Gives the slot back. The record is not, or not any more, in the table. */
void ccr__event_free(struct ccr__event *e);
/* Fills the handle of an event of this process. */
CUresult ccr__event_handle_of(struct ccr__event *e, CUipcEventHandle *handle);
/* False: it is a handle of the driver. */
bool ccr__event_is_ours(const CUipcEventHandle *handle, struct ccr__event_handle *out);
/* The events of a context that was destroyed. */
void ccr__events_drop_context(CUcontext ctx);
/* In a forked child. */
void ccr__events_reset(void);

#endif
