// SPDX-License-Identifier: MIT
// Custom storage in the process that calls Checkpoint or Restore: maps the memory of the other
// process, one consecutive range per device, until cuCheckpointOperationComplete.
#include "softcuda/checkpoint/client.h"
#include "softcuda/impl.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/uio.h>
#include <unistd.h>

struct operation {
	struct operation *next;
	int pid, owner; // the lock that is ours until the end
	CUcheckpointCustomStorageInfo info;
	CUcheckpointCustomStoragePerDeviceData data[CCR_MAX_DEVICES];
};

static struct {
	pthread_mutex_t lock;
	struct operation *head;
} operations = {.lock = PTHREAD_MUTEX_INITIALIZER};

// A bit for each physical device whose primary context is active in this process.
static uint32_t active_contexts(void)
{
	uint32_t numbers = 0;

	for (int d = 0; d < ccr_soft_settings()->nr_devices; d++) {
		unsigned int flags;
		int active = 0;

		SOFT(cuDevicePrimaryCtxGetState)(d, &flags, &active);
		if (active)
			numbers |= 1u << ccr_device_number(d);
	}
	return numbers;
}

static CUresult read_table(int pid, struct ccr_storage_range **table, uint32_t count)
{
	const size_t bytes = count * sizeof(**table);
	struct iovec remote = {(void *)CCR_VA_STORAGE, bytes};
	struct iovec local = {malloc(bytes + 1), bytes};

	if (!local.iov_base)
		return CUDA_ERROR_OUT_OF_MEMORY;
	*table = local.iov_base;
	return process_vm_readv(pid, &local, 1, &remote, 1, 0) == (ssize_t)bytes
		       ? CUDA_SUCCESS
		       : CUDA_ERROR_OPERATING_SYSTEM;
}

static CUresult map_one(CUdeviceptr at, const struct ccr_storage_range *range, int device)
{
	struct ccr_phys *phys;
	CUresult result = ccr_phys_import_range(&phys, device, range->offset, range->size);

	if (result == CUDA_SUCCESS)
		result = ccr_va_map(at, range->size, phys, 0, false);
	return result;
}

static void unmap_device(const CUcheckpointCustomStoragePerDeviceData *data)
{
	ccr_take_begin();
	ccr_mem_lock();
	if (data->devPtr && ccr_va_unmap(data->devPtr, data->size) == CUDA_SUCCESS)
		ccr_va_free(data->devPtr, data->size);
	ccr_mem_unlock();
	ccr_take_end();
}

static CUresult new_stream(int device, CUstream *stream)
{
	CUcontext context;
	CUresult result = SOFT(cuDevicePrimaryCtxRetain)(&context, device);

	if (result != CUDA_SUCCESS)
		return result;
	result = SOFT(cuCtxPushCurrent_v2)(context);
	if (result == CUDA_SUCCESS) {
		result = SOFT(cuStreamCreate)(stream, CU_STREAM_NON_BLOCKING);
		SOFT(cuCtxPopCurrent_v2)(NULL);
	}
	SOFT(cuDevicePrimaryCtxRelease_v2)(device);
	return result;
}

static CUresult map_device(struct operation *op, int device, const struct ccr_storage_range *table,
			   uint32_t count)
{
	CUcheckpointCustomStoragePerDeviceData *data = &op->data[op->info.deviceCount];
	const int number = ccr_device_number(device);
	bool is_used = false;
	CUresult result;
	CUdeviceptr at;

	for (uint32_t i = 0; i < count; i++) {
		if (table[i].number != number)
			continue;
		is_used = true;
		data->size += table[i].size;
	}
	if (!data->size) {
		op->info.deviceCount += is_used;
		return is_used ? new_stream(device, &data->stream) : CUDA_SUCCESS;
	}
	ccr_mem_lock();
	result = ccr_va_reserve(&data->devPtr, data->size, 0, 0, false);
	at = data->devPtr;
	for (uint32_t i = 0; i < count && result == CUDA_SUCCESS; i++) {
		if (table[i].number != number || !table[i].size)
			continue;
		result = map_one(at, &table[i], device);
		at += table[i].size;
	}
	if (result == CUDA_SUCCESS)
		result = ccr_va_set_access(data->devPtr, data->size, device,
					   CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
	ccr_mem_unlock();
	op->info.deviceCount++;
	return result == CUDA_SUCCESS ? new_stream(device, &data->stream) : result;
}

static void end(struct operation *op)
{
	for (unsigned int i = 0; i < op->info.deviceCount; i++) {
		if (op->data[i].stream)
			SOFT(cuStreamDestroy_v2)(op->data[i].stream);
		unmap_device(&op->data[i]);
	}
	if (op->owner >= 0)
		close(op->owner);
	free(op);
}

// With SOFTCUDA_STORAGE_ORDER=reverse, the last device comes first: the order is not documented.
static int nth_device(int n)
{
	const char *order = getenv("SOFTCUDA_STORAGE_ORDER");

	return order && *order == 'r' ? ccr_soft_settings()->nr_devices - 1 - n : n;
}

static CUresult map_all(struct operation *op, uint32_t count)
{
	struct ccr_storage_range *table = NULL;
	CUresult result = read_table(op->pid, &table, count);

	for (int n = 0; n < ccr_soft_settings()->nr_devices && result == CUDA_SUCCESS; n++)
		result = map_device(op, nth_device(n), table, count);
	free(table);
	return result;
}

CUresult ccr_operation_begin(int pid, struct ccr_request *request,
			     CUcheckpointCustomStorageInfo **info)
{
	struct ccr_request look = {.op = CCR_REQUEST_STATE};
	struct ccr_reply reply;
	struct operation *op;
	CUresult result;

	if (!ccr_soft_initialized())
		return CUDA_ERROR_NOT_INITIALIZED;
	if (pid == getpid())
		return CUDA_ERROR_NOT_SUPPORTED;
	op = calloc(1, sizeof(*op));
	if (!op)
		return CUDA_ERROR_OUT_OF_MEMORY;
	op->pid = pid;
	op->info.perDeviceData = op->data;
	op->info.handle = (CUcheckpointOperationHandle)op;
	op->owner = ccr_client_open_owner(pid);
	if (op->owner >= 0 && flock(op->owner, LOCK_EX | LOCK_NB)) {
		end(op); // another operation is not complete
		return CUDA_ERROR_ILLEGAL_STATE;
	}
	request->timeout_ms = active_contexts();
	result = ccr_client_call(pid, request, &reply);
	if (result != CUDA_SUCCESS) {
		end(op);
		return result;
	}
	result = map_all(op, reply.value);
	if (result != CUDA_SUCCESS) {
		end(op); // which gives the operation up
		ccr_client_call(pid, &look, NULL);
		return result;
	}
	pthread_mutex_lock(&operations.lock);
	op->next = operations.head;
	operations.head = op;
	pthread_mutex_unlock(&operations.lock);
	*info = &op->info;
	return CUDA_SUCCESS;
}

static struct operation *take(CUcheckpointOperationHandle handle)
{
	struct operation **link = &operations.head, *op;

	pthread_mutex_lock(&operations.lock);
	while (*link && (*link)->info.handle != handle)
		link = &(*link)->next;
	op = *link;
	if (op)
		*link = op->next;
	pthread_mutex_unlock(&operations.lock);
	return op;
}

static CUresult is_capturing(CUcheckpointOperationHandle handle)
{
	CUresult result = CUDA_SUCCESS;

	pthread_mutex_lock(&operations.lock);
	for (struct operation *op = operations.head; op; op = op->next)
		for (unsigned int i = 0; op->info.handle == handle && i < op->info.deviceCount;
		     i++) {
			CUstreamCaptureStatus status = CU_STREAM_CAPTURE_STATUS_NONE;

			SOFT(cuStreamIsCapturing)(op->data[i].stream, &status);
			if (status != CU_STREAM_CAPTURE_STATUS_NONE)
				result = CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
		}
	pthread_mutex_unlock(&operations.lock);
	return result;
}

CUresult SOFT(cuCheckpointOperationComplete)(CUcheckpointOperationHandle handle)
{
	struct ccr_request request = {.op = CCR_REQUEST_COMPLETE};
	CUresult result = CUDA_SUCCESS, completed;
	struct operation *op;

	if (ccr_soft_settings()->driver_version < CCR_VERSION_STORAGE)
		return CUDA_ERROR_NOT_SUPPORTED;
	result = is_capturing(handle);
	if (result != CUDA_SUCCESS)
		return result;
	op = take(handle);
	if (!op)
		return CUDA_ERROR_INVALID_VALUE;
	for (unsigned int i = 0; i < op->info.deviceCount && result == CUDA_SUCCESS; i++)
		result = SOFT(cuStreamSynchronize)(op->data[i].stream);
	completed = result == CUDA_SUCCESS ? ccr_client_call(op->pid, &request, NULL) : result;
	end(op);
	return completed;
}
