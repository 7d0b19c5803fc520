// SPDX-License-Identifier: MIT
/*
 * What processes share of the events that they pass by CUDA IPC: a page (of a memory file) with a
 * slot for each event. Every record of an event has a number. Its stream writes the number
 * into the slot, and a stream of another process waits for it; both are stream memory
 * operations, so the page is registered with the driver. The process that made the events
 * has the page first; the keeper gives the file to others, as that of memory.
 *
 * A dump finds all records complete. Then each process replaces the page by private memory
 * with the same bytes. Afterwards the first process makes a new file of them, and the
 * others map that, at the same addresses. The caller holds the lock of records.h.
 */
#ifndef CCR_INTERCEPT_EVENT_PAGE_H
#define CCR_INTERCEPT_EVENT_PAGE_H

#include "intercept/keeper/others.h"
#include "intercept/records/records.h"

#define CCR__EVENT_PAGE_BYTES 65536
#define CCR__EVENT_WORDS      7
#define CCR__EVENT_SLOTS      (CCR__EVENT_PAGE_BYTES / 64)

/* Of one event; used again for another when that is destroyed, and its numbers only grow. */
struct ccr__event_slot {
	uint64_t begun; /* the number of the last record */
	/* By number modulo CCR__EVENT_WORDS: the last of these that is complete. The device writes.
	 */
	uint64_t done[CCR__EVENT_WORDS];
};
static_assert(sizeof(struct ccr__event_slot) == 64, "layout");

struct ccr__event_page {
	struct ccr__event_page *next;
	struct ccr__event_slot *slots; /* the same address all the time */
	uint64_t id;		       /* as of an allocation */
	struct ccr__token token;
	uint64_t kept;	      /* the file, in the keeper; 0: it is not there */
	uint64_t inode;	      /* of the file */
	CUcontext registered; /* in which it is registered; NULL: it is not */
	CUcontext ctx;	      /* in which it was registered last; NULL: never, or it is gone */
	uint32_t nr_used;     /* events of this process */
	uint32_t nr_shared;   /* of these, opened or with a handle: counted in the mailbox if any */
	bool is_foreign;      /* another process has made it */
	bool is_private;      /* between evict and attach */
	bool is_published;    /* others may ask for it */
	bool is_attached;     /* during an attach */
	void *copy;	      /* during an evict: the bytes in private memory */
	uint32_t at;	      /* where to look for the next free slot */
	bool used[CCR__EVENT_SLOTS];
};

extern struct ccr__event_page *ccr__event_pages;

/* What a CUipcEventHandle of ours consists of. */
struct ccr__event_handle {
	uint64_t magic;
	int32_t pid; /* of the process that made it */
	uint32_t slot;
	struct ccr__token token; /* of the page */
};

/* event_slot.c */

/*
 * A slot for a new event in a page of this process, or NULL: the driver has to do it. What is
 * given back is used again when its records are complete; the slot of a foreign page stays.
 */
struct ccr__event_page *ccr__event_slot_take(uint32_t *slot);
void ccr__event_slot_give(struct ccr__event_page *page, uint32_t slot);
/* Whether the record with this number is complete, or a later one in the same word. */
bool ccr__event_is_done(const struct ccr__event_slot *slot, uint64_t number);
/* One more event, or one less, that others may use or that is of others. */
void ccr__event_page_share(struct ccr__event_page *page, int by);

/* event_page.c */

/* A new page of this process, or NULL. */
struct ccr__event_page *ccr__event_page_new(void);
/* Makes the page known to other processes. Returns 0 or -errno. */
int ccr__event_page_publish(struct ccr__event_page *page);
/*
 * The page that another process has published, or NULL with -errno in `error`. Takes the lock, and
 * releases it when it fails.
 */
struct ccr__event_page *ccr__event_page_open(pid_t pid, const struct ccr__token *token, int *error);

/* event_register.c */

/* Registers the page with the driver, if it is not. `ctx`: any context of the caller. */
CUresult ccr__event_page_register(struct ccr__event_page *page, CUcontext ctx);
/*
 * The same in the context of the last time, if it was registered: at once, not with the next
 * record, when the driver might wait for work that the program is holding back.
 */
void ccr__event_page_register_again(struct ccr__event_page *page);
CUresult ccr__event_page_unregister(struct ccr__event_page *page);
/* The context is being destroyed, and with it what was registered there. */
void ccr__event_pages_drop_context(CUcontext ctx);

/* --- event_page.c: the service thread; the gate is closed --- */

struct ccr__event_page *ccr__event_page_by_id(uint64_t id);
/*
 * Evict: makes all pages private, in two steps. The first can fail, with -errno, and then
 * nothing has changed; after it comes one of the others.
 */
int ccr__event_pages_prepare(CUresult *result);
void ccr__event_pages_stay(void);
void ccr__event_pages_leave(void);
/* Attach: new files for the pages of this process. Returns 0 or -errno. */
int ccr__event_pages_return(void);
/* Maps the page from a file that the pool has given. Returns 0 or -errno. */
int ccr__event_page_take(struct ccr__event_page *page, int fd);
/* A descriptor of the page, or -errno. */
int ccr__event_page_export(const struct ccr__event_page *page);
/* Whether no page is private. */
bool ccr__event_pages_are_there(void);
/* The attach has ended, or failed: then all is as after the evict. */
void ccr__event_pages_attached(bool keep);
/* In a forked child: there are none, and their addresses are free. */
void ccr__event_pages_reset(void);

#endif
