// SPDX-License-Identifier: MIT
#include "intercept/records/kept.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "intercept/core/mailbox.h"
#include "intercept/keeper/keeper.h"
#include "intercept/records/ipc.h"

static void count(uint64_t *counter, int by)
{
	__atomic_add_fetch(counter, (uint64_t)by, __ATOMIC_RELAXED);
}

/* Of what can move: the caller changes that. */
static void count_kept(const struct ccr__phys *phys, int by)
{
	if (phys->is_excluded)
		return;
	if (phys->is_foreign)
		count(&ccr__mailbox->kept_imports, by);
	else if (phys->is_exported)
		count(&ccr__mailbox->kept_exports, by);
}

int ccr__kept_add(struct ccr__phys *phys, int fd)
{
	struct ccr__kept *kept = calloc(1, sizeof(*kept));
	int ret = kept ? ccr__keep(fd, &kept->number) : -ENOMEM;

	if (ret) {
		ccr_warn("cannot keep a descriptor of shared memory: %s", strerror(-ret));
		free(kept);
		return ret;
	}
	kept->next = phys->kept;
	phys->kept = kept;
	ccr__ipc_kept(phys, kept->number);
	return 0;
}

static void drop_list(struct ccr__kept *kept, bool is_ended)
{
	while (kept) {
		struct ccr__kept *next = kept->next;

		if (!is_ended)
			ccr__keep_drop(kept->number);
		free(kept);
		kept = next;
	}
}

struct ccr__phys *ccr__kept_import(CUmemGenericAllocationHandle handle, int fd)
{
	struct ccr__phys *phys = ccr__core.has_memory && ccr__is_active() ? ccr__phys_new(0) : NULL;

	if (!phys)
		return NULL;
	phys->is_foreign = true;
	count(&ccr__mailbox->imports, 1);
	count_kept(phys, 1);
	if (ccr__kept_add(phys, fd) ||
	    ccr__real.cuMemGetAllocationPropertiesFromHandle(&phys->prop, handle) != CUDA_SUCCESS) {
		ccr__phys_forget(phys);
		return NULL;
	}
	phys->handle = handle;
	phys->asked = phys->prop.requestedHandleTypes;
	phys->app_refs = 1;
	return phys;
}

static void note_exported(struct ccr__phys *phys)
{
	if (phys->is_exported)
		return;
	count(&ccr__mailbox->exports, 1);
	phys->is_exported = true;
	count_kept(phys, 1);
}

int ccr__kept_publish(struct ccr__phys *phys, int fd)
{
	const int ret = ccr__kept_add(phys, fd);

	if (!ret)
		note_exported(phys);
	return ret;
}

void ccr__kept_export(struct ccr__phys *phys, int fd)
{
	note_exported(phys);
	if (!phys->is_excluded && ccr__kept_add(phys, fd))
		ccr__phys_exclude(phys, "it is exported to another process");
}

int ccr__kept_replace(struct ccr__phys *phys, int fd)
{
	struct ccr__kept *before = phys->kept;
	int ret;

	phys->kept = NULL;
	ret = ccr__kept_add(phys, fd);
	drop_list(before, false);
	return ret;
}

void ccr__kept_forget(struct ccr__phys *phys)
{
	count_kept(phys, -1);
	if (phys->is_foreign)
		count(&ccr__mailbox->imports, -1);
	if (phys->is_exported)
		count(&ccr__mailbox->exports, -1);
	drop_list(phys->kept, false);
	phys->kept = NULL;
}

void ccr__kept_exclude(struct ccr__phys *phys)
{
	count_kept(phys, -1);
	drop_list(phys->kept, false);
	phys->kept = NULL;
}

void ccr__kept_end(void)
{
	bool any = false;

	for (struct ccr__phys *phys = ccr__memory.all; phys; phys = phys->next) {
		any |= phys->kept != NULL;
		drop_list(phys->kept, true);
		phys->kept = NULL;
	}
	if (any)
		ccr__keep_end();
}
