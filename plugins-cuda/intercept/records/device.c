// SPDX-License-Identifier: MIT
/* What each device can do; asked once. */
#include "intercept/records/records.h"

#include <string.h>

static struct ccr__device devices[CCR_MAX_DEVICES];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static bool has(CUdevice device, CUdevice_attribute attribute)
{
	int value = 0;

	return ccr__real.cuDeviceGetAttribute(&value, attribute, device) == CUDA_SUCCESS && value;
}

static void query_device(struct ccr__device *d, CUdevice device)
{
	size_t granularity = 0;
	CUmemAllocationProp prop;

	d->has_words = has(device, CU_DEVICE_ATTRIBUTE_CAN_USE_64_BIT_STREAM_MEM_OPS);
	d->is_rdma = has(device, CU_DEVICE_ATTRIBUTE_GPU_DIRECT_RDMA_WITH_CUDA_VMM_SUPPORTED);
	d->can_replace =
		has(device, CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED) &&
		has(device, CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR_SUPPORTED);
	prop = ccr__device_prop(device);
	if (ccr__real.cuMemGetAllocationGranularity(
		    &granularity, &prop, CU_MEM_ALLOC_GRANULARITY_MINIMUM) != CUDA_SUCCESS ||
	    !granularity)
		d->can_replace = false;
	d->granularity = granularity;
	d->is_known = true;
	if (!d->can_replace)
		ccr_warn("device %d has no exportable virtual memory: its memory is left to the "
			 "driver",
			 device);
}

const struct ccr__device *ccr__device_get(CUdevice device)
{
	static const struct ccr__device none;

	if (device < 0 || device >= CCR_MAX_DEVICES)
		return &none;
	pthread_mutex_lock(&lock);
	if (!devices[device].is_known)
		query_device(&devices[device], device);
	pthread_mutex_unlock(&lock);
	return &devices[device];
}

CUmemAllocationProp ccr__device_prop(CUdevice device)
{
	CUmemAllocationProp prop;

	memset(&prop, 0, sizeof(prop));
	prop.type = CU_MEM_ALLOCATION_TYPE_PINNED;
	prop.requestedHandleTypes = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
	prop.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
	prop.location.id = device;
	/* Network cards can access cuMemAlloc memory, so they must be able to access this. */
	prop.allocFlags.gpuDirectRDMACapable = devices[device].is_rdma;
	return prop;
}
