// SPDX-License-Identifier: MIT
/*
 * How ranks get each other's buffers: descriptors of VMM allocations, CUDA IPC handles, or host
 * memory that they inherit and each of them registers.
 */
#include "workloads/ranks/ranks.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* What a rank sends to each of the others; with a descriptor unless `ipc`. */
struct offer {
	uint64_t size;
	CUipcMemHandle handle;
};

static CUmemAllocationProp prop_of(const struct rank *r, int rank)
{
	return (CUmemAllocationProp){
		.type = CU_MEM_ALLOCATION_TYPE_PINNED,
		.requestedHandleTypes = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR,
		.location = {CU_MEM_LOCATION_TYPE_DEVICE, rank % r->options->devices},
	};
}

static int map(struct rank *r, CUmemGenericAllocationHandle handle, uint64_t size,
	       CUdeviceptr *address)
{
	const CUmemAccessDesc access = {prop_of(r, r->number).location,
					CU_MEM_ACCESS_FLAGS_PROT_READWRITE};

	RANK_TRY(r, cuMemAddressReserve, address, size, 0, 0, 0);
	RANK_TRY(r, cuMemMap, *address, size, 0, handle, 0);
	RANK_TRY(r, cuMemSetAccess, *address, size, &access, 1);
	return 0;
}

static int make_own(struct rank *r, uint64_t *size, CUmemGenericAllocationHandle *handle)
{
	const CUmemAllocationProp prop = prop_of(r, r->number);
	CUdeviceptr *const address = &r->buffers[r->number];
	size_t granularity;

	RANK_TRY(r, cuMemGetAllocationGranularity, &granularity, &prop,
		 CU_MEM_ALLOC_GRANULARITY_MINIMUM);
	*size = CCR_RANK_HEADER_BYTES + r->options->words * 8;
	*size = (*size + granularity - 1) / granularity * granularity;
	if (r->options->ipc) {
		RANK_TRY(r, cuMemAlloc_v2, address, *size);
	} else {
		RANK_TRY(r, cuMemCreate, handle, *size, &prop, 0);
		if (map(r, *handle, *size, address))
			return -1;
	}
	RANK_TRY(r, cuMemsetD8_v2, *address, 0, CCR_RANK_HEADER_BYTES);
	return 0;
}

static int offer_own(struct rank *r, int peer, uint64_t size, CUmemGenericAllocationHandle handle)
{
	struct offer offer = {.size = size};
	int fd = -1, failed;

	if (r->options->ipc)
		RANK_TRY(r, cuIpcGetMemHandle, &offer.handle, r->buffers[r->number]);
	else
		RANK_TRY(r, cuMemExportToShareableHandle, &fd, handle,
			 CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0);
	failed = mesh_send(r->mesh.pairs[peer], &offer, sizeof(offer), fd);
	if (fd >= 0)
		close(fd);
	return failed ? rank_fail(r, strerror(errno), CUDA_ERROR_OPERATING_SYSTEM) : 0;
}

static int import(struct rank *r, int peer, int fd, uint64_t size)
{
	CUmemGenericAllocationHandle handle;

	RANK_TRY(r, cuMemImportFromShareableHandle, &handle, (void *)(intptr_t)fd,
		 CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR);
	if (map(r, handle, size, &r->buffers[peer]))
		return -1;
	/* Mapped memory outlives its handle; some programs keep it, others do not. */
	if (r->number % 2)
		RANK_TRY(r, cuMemRelease, handle);
	return 0;
}

static int take(struct rank *r, int peer)
{
	const unsigned int lazy_peer_access = 1; /* CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS */
	struct offer offer;
	int fd, ret;

	if (mesh_receive(r->mesh.pairs[peer], &offer, sizeof(offer), &fd))
		return rank_fail(r, strerror(errno), CUDA_ERROR_OPERATING_SYSTEM);
	if (r->options->ipc) {
		RANK_TRY(r, cuIpcOpenMemHandle_v2, &r->buffers[peer], offer.handle,
			 lazy_peer_access);
		return 0;
	}
	if (fd < 0)
		return rank_fail(r, "the message had no descriptor", CUDA_ERROR_INVALID_VALUE);
	ret = import(r, peer, fd, offer.size);
	close(fd);
	return ret;
}

static size_t host_size(const struct ranks_options *options)
{
	const size_t page = CCR_RANK_HEADER_BYTES;

	return (page + options->words * 8 + page - 1) / page * page;
}

int share_prepare(struct ranks_options *options)
{
	const size_t size = options->ranks * host_size(options);

	if (!options->host)
		return 0;
	options->host_memory =
		mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return options->host_memory == MAP_FAILED ? -1 : 0;
}

static int share_host_memory(struct rank *r)
{
	const size_t size = host_size(r->options);

	RANK_TRY(r, cuMemHostRegister_v2, r->options->host_memory, r->options->ranks * size,
		 CU_MEMHOSTREGISTER_DEVICEMAP | CU_MEMHOSTREGISTER_PORTABLE);
	for (int i = 0; i < r->options->ranks; i++)
		RANK_TRY(r, cuMemHostGetDevicePointer_v2, &r->buffers[i],
			 (char *)r->options->host_memory + i * size, 0);
	return 0;
}

int share_buffers(struct rank *r)
{
	CUmemGenericAllocationHandle handle = 0;
	uint64_t size = 0;

	if (r->options->host)
		return share_host_memory(r);
	if (make_own(r, &size, &handle))
		return -1;
	for (int i = 0; i < r->options->ranks; i++)
		if (i != r->number && offer_own(r, i, size, handle))
			return -1;
	for (int i = 0; i < r->options->ranks; i++)
		if (i != r->number && take(r, i))
			return -1;
	return 0;
}
