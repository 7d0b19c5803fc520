// SPDX-License-Identifier: MIT
/*
 * Legacy CUDA IPC of memory. Large memory is ours, so its handles are, too; any process with the
 * interceptor can open them, and gets an import like any other. Small memory stays with the
 * driver, and its handles with it.
 */
#include "intercept/calls/calls.h"
#include "intercept/keeper/fetch.h"
#include "intercept/records/contexts.h"
#include "intercept/records/ipc.h"
#include "intercept/records/kept.h"
#include "intercept/records/records.h"
#include "intercept/records/shared.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LAZY_PEER_ACCESS 1u /* CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS */

static void note_added(enum ccr__shared_kind kind, uint64_t key)
{
	ccr__memory_lock();
	ccr__shared_add(kind, key);
	ccr__memory_unlock();
}

/* --- the process that has the memory --- */

static struct ccr__phys *find_alloc(CUdeviceptr dptr)
{
	const struct ccr__mapping *m = ccr__is_active() ? ccr__mapping_at(dptr) : NULL;

	if (!m || !m->is_alloc || m->is_freeing || m->phys->is_foreign ||
	    dptr >= m->base + m->phys->requested)
		return NULL;
	return m->phys;
}

CUresult ccr__wrap_cuIpcGetMemHandle(CUipcMemHandle *handle, CUdeviceptr dptr)
{
	struct ccr__phys *phys;
	CUresult result = CUDA_ERROR_INVALID_VALUE;

	ccr__memory_lock();
	phys = find_alloc(dptr);
	if (phys && handle)
		result = ccr__ipc_handle_of(phys, handle);
	ccr__memory_unlock();
	if (phys)
		return result;
	result = ccr__real.cuIpcGetMemHandle(handle, dptr);
	if (result == CUDA_SUCCESS)
		note_added(CCR__EXPORTED_ADDRESS, dptr);
	return result;
}

/* --- the process that opens it --- */

/* For a mapping with the same properties as cuMemAlloc memory of the device, and for `device`. */
static void set_access(struct ccr__mapping *m, CUdevice owner, CUdevice device)
{
	memset(m->access, 0, sizeof(m->access));
	for (int other = 0; other < CCR_MAX_DEVICES; other++)
		if (other == owner || other == device || ccr__peer_enabled(other, owner))
			m->access[other] = CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
}

/* Maps what was imported. On failure the import is gone. */
static CUresult place(struct ccr__phys *phys, const struct ccr__ipc_handle *ours, CUcontext ctx,
		      CUdevice device, unsigned int flags, CUdeviceptr *dptr)
{
	struct ccr__mapping m = {.phys = phys, .size = ours->size, .ctx = ctx, .is_alloc = true};
	const CUdevice owner = phys->prop.location.id;
	CUresult result = CUDA_ERROR_INVALID_DEVICE;

	/* The program has no handle of it. */
	phys->app_refs = 0;
	phys->requested = ours->requested;
	phys->device = owner;
	if (owner == device || flags == LAZY_PEER_ACCESS) {
		set_access(&m, owner, device);
		result = ccr__ipc_note(phys, &ours->token)
				 ? ccr__alloc_place(&m, ccr__device_get(device)->granularity)
				 : CUDA_ERROR_OUT_OF_MEMORY;
	}
	if (result == CUDA_SUCCESS && !ccr__mapping_add(&m)) {
		ccr__alloc_unplace(&m);
		result = CUDA_ERROR_OUT_OF_MEMORY;
	}
	if (result != CUDA_SUCCESS) {
		ccr__place_release(phys);
		return result;
	}
	phys->ipc->opens = 1;
	*dptr = m.base;
	return result;
}

static CUresult import(int fd, const struct ccr__ipc_handle *ours, CUcontext ctx, CUdevice device,
		       unsigned int flags, CUdeviceptr *dptr)
{
	CUmemGenericAllocationHandle handle;
	struct ccr__phys *phys;
	CUresult result = ccr__real.cuMemImportFromShareableHandle(
		&handle, (void *)(intptr_t)fd, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR);

	if (result != CUDA_SUCCESS)
		return result;
	phys = ccr__kept_import(handle, fd);
	if (phys)
		return place(phys, ours, ctx, device, flags, dptr);
	ccr__real.cuMemRelease(handle);
	return CUDA_ERROR_OUT_OF_MEMORY;
}

/* Another thread may have opened it meanwhile. True if it was open. */
static bool open_again(const struct ccr__ipc_handle *ours, CUcontext ctx, CUdeviceptr *dptr)
{
	const struct ccr__mapping *m = ccr__ipc_opened(&ours->token, ctx);

	if (!m)
		return false;
	m->phys->ipc->opens++;
	*dptr = m->base;
	return true;
}

static CUresult open_ours(CUdeviceptr *dptr, const struct ccr__ipc_handle *ours, unsigned int flags)
{
	CUresult result = CUDA_SUCCESS;
	CUdevice device;
	CUcontext ctx;
	bool is_open;
	int fd;

	if (!dptr || flags > LAZY_PEER_ACCESS)
		return CUDA_ERROR_INVALID_VALUE;
	if (ccr__real.cuCtxGetCurrent(&ctx) != CUDA_SUCCESS || !ctx ||
	    ccr__real.cuCtxGetDevice(&device) != CUDA_SUCCESS || ours->pid == getpid())
		return CUDA_ERROR_INVALID_CONTEXT;
	ccr__memory_lock();
	is_open = open_again(ours, ctx, dptr);
	ccr__memory_unlock();
	if (is_open)
		return result;
	fd = ccr__keep_fetch(ours->pid, &ours->token);
	if (fd < 0) {
		ccr_info("cuIpcOpenMemHandle: process %d: %s", ours->pid, strerror(-fd));
		return fd == -EMFILE || fd == -ENFILE ? CUDA_ERROR_OPERATING_SYSTEM
						      : CUDA_ERROR_INVALID_VALUE;
	}
	ccr__memory_lock();
	if (!open_again(ours, ctx, dptr))
		result = import(fd, ours, ctx, device, flags, dptr);
	ccr__memory_unlock();
	close(fd);
	return result;
}

static CUresult opened(CUresult result, const CUdeviceptr *dptr)
{
	if (result == CUDA_SUCCESS)
		note_added(CCR__IMPORTED_ADDRESS, *dptr);
	return result;
}

/* Memory that we do not manage has the driver's handles only; ours mean nothing to it. */
static bool is_ours(const CUipcMemHandle *handle, struct ccr__ipc_handle *ours)
{
	return ccr__core.has_memory && ccr__is_active() && ccr__ipc_is_ours(handle, ours);
}

CUresult ccr__wrap_cuIpcOpenMemHandle(CUdeviceptr *dptr, CUipcMemHandle handle, unsigned int flags)
{
	struct ccr__ipc_handle ours;

	if (is_ours(&handle, &ours))
		return open_ours(dptr, &ours, flags);
	return opened(ccr__real.cuIpcOpenMemHandle(dptr, handle, flags), dptr);
}

CUresult ccr__wrap_cuIpcOpenMemHandle_v2(CUdeviceptr *dptr, CUipcMemHandle handle,
					 unsigned int flags)
{
	struct ccr__ipc_handle ours;

	if (is_ours(&handle, &ours))
		return open_ours(dptr, &ours, flags);
	return opened(ccr__real.cuIpcOpenMemHandle_v2(dptr, handle, flags), dptr);
}

CUresult ccr__wrap_cuIpcCloseMemHandle(CUdeviceptr dptr)
{
	struct ccr__mapping *m;
	bool is_open, is_last = false;
	CUresult result = CUDA_SUCCESS;

	ccr__memory_lock();
	m = ccr__is_active() ? ccr__mapping_at(dptr) : NULL;
	is_open = m && m->base == dptr && m->is_alloc && m->phys->is_foreign && !m->is_freeing;
	if (is_open)
		is_last = m->is_freeing = !--m->phys->ipc->opens;
	ccr__memory_unlock();
	if (!is_open)
		result = ccr__real.cuIpcCloseMemHandle(dptr);
	else if (is_last)
		result = ccr__alloc_release(m);
	ccr__memory_lock();
	if (!is_open && result == CUDA_SUCCESS)
		ccr__shared_drop(CCR__IMPORTED_ADDRESS, dptr);
	if (is_last && result != CUDA_SUCCESS)
		m->phys->ipc->opens++;
	ccr__memory_unlock();
	return result;
}
