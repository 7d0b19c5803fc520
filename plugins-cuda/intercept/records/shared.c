// SPDX-License-Identifier: MIT
#include "intercept/records/shared.h"

#include <stdlib.h>

#include "intercept/core/mailbox.h"

struct shared {
	struct shared *next;
	enum ccr__shared_kind kind;
	uint64_t key;
	uint32_t refs, maps;
};

struct foreign_mapping {
	struct foreign_mapping *next;
	struct shared *what;
	CUdeviceptr base;
	uint64_t size;
};

static struct shared *all;
static struct foreign_mapping *mappings;

static bool is_export(enum ccr__shared_kind kind)
{
	return kind == CCR__EXPORTED_HANDLE || kind == CCR__EXPORTED_ADDRESS;
}

static uint64_t *counter_of(enum ccr__shared_kind kind)
{
	if (kind == CCR__MULTICAST)
		return &ccr__mailbox->multicasts;
	if (kind == CCR__SHARED_EVENT)
		return &ccr__mailbox->ipc_events;
	return is_export(kind) ? &ccr__mailbox->exports : &ccr__mailbox->imports;
}

static void count(enum ccr__shared_kind kind, int by)
{
	__atomic_add_fetch(counter_of(kind), (uint64_t)by, __ATOMIC_RELAXED);
}

static struct shared *find(enum ccr__shared_kind kind, uint64_t key)
{
	struct shared *s = all;

	while (s && (s->kind != kind || s->key != key))
		s = s->next;
	return s;
}

void ccr__shared_add(enum ccr__shared_kind kind, uint64_t key)
{
	struct shared *s = find(kind, key);

	if (s) {
		s->refs++;
		return;
	}
	if (counter_of(kind) == &ccr__mailbox->imports &&
	    !__atomic_load_n(&ccr__mailbox->imports, __ATOMIC_RELAXED))
		ccr_warn("the program imported memory of another process, which the driver cannot "
			 "checkpoint and restore");
	/* Without a record it can never be given back: rather one too many than one too few. */
	count(kind, 1);
	s = calloc(1, sizeof(*s));
	if (!s)
		return;
	*s = (struct shared){.next = all, .kind = kind, .key = key, .refs = 1};
	all = s;
}

static void forget_unused(struct shared *s)
{
	struct shared **link = &all;

	if (s->refs || s->maps)
		return;
	while (*link != s)
		link = &(*link)->next;
	*link = s->next;
	count(s->kind, -1);
	free(s);
}

void ccr__shared_drop(enum ccr__shared_kind kind, uint64_t key)
{
	struct shared *s = all ? find(kind, key) : NULL;

	if (!s)
		return;
	if (s->refs)
		s->refs--;
	forget_unused(s);
}

bool ccr__shared_has_events(void)
{
	return __atomic_load_n(&ccr__mailbox->ipc_events, __ATOMIC_RELAXED);
}

bool ccr__shared_drop_all(enum ccr__shared_kind kind, uint64_t key)
{
	struct shared *s = all ? find(kind, key) : NULL;

	if (!s)
		return false;
	s->refs = 0;
	forget_unused(s);
	return true;
}

void ccr__shared_mapped(CUmemGenericAllocationHandle handle, CUdeviceptr base, uint64_t size)
{
	struct shared *s = all ? find(CCR__IMPORTED_HANDLE, handle) : NULL;
	struct foreign_mapping *m = s ? malloc(sizeof(*m)) : NULL;

	if (!s)
		return;
	s->maps++; /* without a record, forever */
	if (!m)
		return;
	*m = (struct foreign_mapping){.next = mappings, .what = s, .base = base, .size = size};
	mappings = m;
}

void ccr__shared_unmapped(CUdeviceptr base, uint64_t size)
{
	struct foreign_mapping **link = &mappings;

	while (*link) {
		struct foreign_mapping *m = *link;

		if (m->base >= base + size || m->base + m->size <= base) {
			link = &m->next;
			continue;
		}
		*link = m->next;
		m->what->maps--;
		forget_unused(m->what);
		free(m);
	}
}

void ccr__shared_retained(CUmemGenericAllocationHandle handle, CUdeviceptr address)
{
	for (struct foreign_mapping *m = mappings; m; m = m->next) {
		if (address < m->base || address >= m->base + m->size)
			continue;
		/* The driver may give it another number, which is then another reference. */
		if (m->what->key == handle)
			m->what->refs++;
		return;
	}
}
