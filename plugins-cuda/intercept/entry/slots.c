// SPDX-License-Identifier: MIT
/*
 * Assigns stubs to driver functions. Entries of hook_list.h have their own stub;
 * any other function gets a spare stub, which is found again by the function's
 * address. `lock` guards everything except what the stubs read.
 */
#include "intercept/calls/calls.h"
#include "intercept/entry/entry.h"

#include <pthread.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

#define NAME_TABLE  2048 /* powers of two; at most half full */
#define SPARE_TABLE 4096

struct ccr__slot ccr__slots[CCR_NR_SLOTS] = {
#define H(symbol, which) [CCR_HOOK_##symbol] = {.kind = CCR_KIND_##which, .name = #symbol},
	CCR_HOOKS(H)
#undef H
};

static const struct wrapper {
	int hook;
	void *function;
	void **real;
	const bool *is_wanted; /* NULL: whenever there is a gate */
} wrappers[] = {
#define WRAPPER(symbol, wanted) \
	{CCR_HOOK_##symbol, (void *)ccr__wrap_##symbol, (void **)&ccr__real.symbol, wanted},
#define W(symbol, base, since) WRAPPER(symbol, NULL)
	CCR_WRAPPERS_ALWAYS(W)
#undef W
#define W(symbol, base, since) WRAPPER(symbol, &ccr__core.has_memory)
		CCR_WRAPPERS_MEMORY(W)
#undef W
#define W(symbol, base, since) WRAPPER(symbol, &ccr__core.has_copies)
			CCR_WRAPPERS_COPY(W)
#undef W
};

static struct {
	pthread_mutex_t lock;
	uint16_t by_name[NAME_TABLE];  /* slot + 1 */
	uint16_t by_real[SPARE_TABLE]; /* slot + 1 */
	bool is_indexed;
	uint32_t nr_spare;
} slots = {.lock = PTHREAD_MUTEX_INITIALIZER};

void ccr__slots_reset(void)
{
	pthread_mutex_init(&slots.lock, NULL);
}

static uint32_t hash_text(const char *text)
{
	uint32_t hash = 2166136261u;

	while (*text)
		hash = (hash ^ (unsigned char)*text++) * 16777619u;
	return hash;
}

static void index_names(void)
{
	if (slots.is_indexed)
		return;
	for (uint32_t i = 0; i < CCR_NR_HOOKS; i++) {
		uint32_t at = hash_text(ccr__slots[i].name) % NAME_TABLE;

		while (slots.by_name[at])
			at = (at + 1) % NAME_TABLE;
		slots.by_name[at] = i + 1;
	}
	slots.is_indexed = true;
}

static int find_locked(const char *name)
{
	index_names();
	for (uint32_t at = hash_text(name) % NAME_TABLE; slots.by_name[at];
	     at = (at + 1) % NAME_TABLE)
		if (!strcmp(ccr__slots[slots.by_name[at] - 1].name, name))
			return slots.by_name[at] - 1;
	return -1;
}

int ccr__hook_find(const char *name)
{
	int hook;

	pthread_mutex_lock(&slots.lock);
	hook = find_locked(name);
	pthread_mutex_unlock(&slots.lock);
	return hook;
}

static const struct wrapper *wrapper_of(int hook)
{
	for (size_t i = 0; i < sizeof(wrappers) / sizeof(wrappers[0]); i++)
		if (wrappers[i].hook == hook)
			return !wrappers[i].is_wanted || *wrappers[i].is_wanted ? &wrappers[i]
										: NULL;
	return NULL;
}

/* A stub calls this when the driver has no such function: a linked program needs a result. */
static CUresult missing(void)
{
	return CUDA_ERROR_SHARED_OBJECT_SYMBOL_NOT_FOUND;
}

static void bind_locked(int hook, void *real)
{
	struct ccr__slot *slot = &ccr__slots[hook];
	const struct wrapper *wrapper = ccr__core.has_gate ? wrapper_of(hook) : NULL;

	if (slot->target)
		return;
	slot->real = real;
	ccr__real_load(real);
	if (wrapper && !*wrapper->real)
		*wrapper->real = real;
	if (!ccr__core.has_gate)
		slot->kind = CCR_KIND_OPEN;
	__atomic_store_n(&slot->target, wrapper ? wrapper->function : real, __ATOMIC_RELEASE);
}

void ccr__slot_resolve(struct ccr__slot *slot)
{
	void *real;

	ccr__core_init();
	pthread_mutex_lock(&slots.lock);
	real = ccr__elf_next(slot->name, NULL, NULL);
	if (real)
		bind_locked(slot - ccr__slots, real);
	else
		/* Not final: the driver may be loaded later. */
		__atomic_store_n(&slot->target, (void *)missing, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&slots.lock);
}

static void *spare_locked(const char *name, void *real, uint32_t kind)
{
	uint32_t at = ((uintptr_t)real >> 4) * 2654435761u % SPARE_TABLE;
	struct ccr__slot *slot;

	for (; slots.by_real[at]; at = (at + 1) % SPARE_TABLE)
		if (ccr__slots[slots.by_real[at] - 1].real == real)
			return ccr__stub_at(slots.by_real[at] - 1);
	slot = &ccr__slots[CCR_NR_HOOKS + slots.nr_spare];
	if (slots.nr_spare == CCR_SPARE_SLOTS || !(slot->name = strdup(name))) {
		if (!atomic_exchange(&ccr__core.gate_incomplete, true))
			ccr_err("cannot intercept %s: all spare stubs are in use; device memory is "
				"left to the driver",
				name);
		return real;
	}
	slots.nr_spare++;
	slot->real = real;
	slot->kind = kind;
	__atomic_store_n(&slot->target, real, __ATOMIC_RELEASE);
	slots.by_real[at] = slot - ccr__slots + 1;
	return ccr__stub_at(slot - ccr__slots);
}

static void *stub_locked(int hook, const char *name, void *real)
{
	struct ccr__slot *slot = &ccr__slots[hook];

	if (slot->target == (void *)missing)
		slot->target = NULL;
	bind_locked(hook, real);
	if (slot->real == real || wrapper_of(hook))
		return ccr__stub_at(hook);
	/* Another function of this name, from another interposer or another driver. */
	return spare_locked(name, real, slot->kind);
}

void *ccr__stub_for(const char *name, void *real)
{
	void *stub;
	int hook;

	ccr__core_init();
	if (!ccr__core.has_gate || ccr__is_stub(real))
		return real;
	pthread_mutex_lock(&slots.lock);
	hook = find_locked(name);
	stub = hook < 0 ? spare_locked(name, real, CCR_KIND_STACK) : stub_locked(hook, name, real);
	pthread_mutex_unlock(&slots.lock);
	return stub;
}

static const char *const endings[] = {"",      "_v2",	   "_v3",      "_v4",	   "_ptds",
				      "_ptsz", "_v2_ptds", "_v2_ptsz", "_v3_ptds", "_v3_ptsz"};

void *ccr__stub_for_base(const char *base, void *real)
{
	uint32_t kind = CCR_KIND_OPEN;
	char name[256];
	void *stub = NULL;

	ccr__core_init();
	if (!ccr__core.has_gate || ccr__is_stub(real))
		return real;
	pthread_mutex_lock(&slots.lock);
	for (size_t i = 0; !stub && i < sizeof(endings) / sizeof(endings[0]); i++) {
		int hook;

		if ((size_t)snprintf(name, sizeof(name), "%s%s", base, endings[i]) >= sizeof(name))
			continue;
		hook = find_locked(name);
		if (hook < 0)
			continue;
		if (ccr__slots[hook].kind > kind)
			kind = ccr__slots[hook].kind;
		/* Compare addresses: the driver chooses the version. */
		if (!wrapper_of(hook) && ccr__real_find(name) == real)
			stub = stub_locked(hook, name, real);
	}
	if (!stub)
		stub = spare_locked(base, real, kind == CCR_KIND_REGS ? kind : CCR_KIND_STACK);
	pthread_mutex_unlock(&slots.lock);
	return stub;
}
