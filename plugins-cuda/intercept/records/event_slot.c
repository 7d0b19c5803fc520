// SPDX-License-Identifier: MIT
#include "intercept/core/mailbox.h"
#include "intercept/records/event_page.h"

static uint64_t done(const struct ccr__event_slot *slot, uint64_t number)
{
	return __atomic_load_n(&slot->done[number % CCR__EVENT_WORDS], __ATOMIC_ACQUIRE);
}

bool ccr__event_is_done(const struct ccr__event_slot *slot, uint64_t number)
{
	return done(slot, number) >= number;
}

/* The device may still write numbers of an event that was destroyed. */
static bool is_idle(const struct ccr__event_slot *slot)
{
	const uint64_t last = __atomic_load_n(&slot->begun, __ATOMIC_ACQUIRE);

	for (uint64_t back = 0; back < CCR__EVENT_WORDS && back < last; back++)
		if (!ccr__event_is_done(slot, last - back))
			return false;
	return true;
}

static bool take_in(struct ccr__event_page *page, uint32_t *slot)
{
	if (page->is_foreign || page->nr_used == CCR__EVENT_SLOTS)
		return false;
	for (uint32_t i = 0; i < CCR__EVENT_SLOTS; i++) {
		*slot = (page->at + i) % CCR__EVENT_SLOTS;
		if (page->used[*slot] || !is_idle(&page->slots[*slot]))
			continue;
		page->at = *slot + 1;
		page->used[*slot] = true;
		page->nr_used++;
		return true;
	}
	return false;
}

struct ccr__event_page *ccr__event_slot_take(uint32_t *slot)
{
	struct ccr__event_page *page = ccr__event_pages;

	while (page && !take_in(page, slot))
		page = page->next;
	if (!page) {
		page = ccr__event_page_new();
		if (page && !take_in(page, slot))
			page = NULL;
	}
	return page;
}

void ccr__event_slot_give(struct ccr__event_page *page, uint32_t slot)
{
	page->nr_used--;
	if (!page->is_foreign)
		page->used[slot] = false;
}

void ccr__event_page_share(struct ccr__event_page *page, int by)
{
	const bool before = page->nr_shared;

	page->nr_shared += by;
	if (before != !!page->nr_shared)
		__atomic_add_fetch(page->is_foreign ? &ccr__mailbox->event_imports
						    : &ccr__mailbox->event_exports,
				   (uint64_t)by, __ATOMIC_RELAXED);
}
