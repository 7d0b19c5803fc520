// SPDX-License-Identifier: MIT
// Lock, Checkpoint, Restore and Unlock in the CUDA process. Everything here runs in the restore
// thread. In the states locked and checkpointed no other thread is inside the driver.
#include "softcuda/checkpoint/checkpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static void set_state(struct ccr_control *control, CUprocessState state)
{
	atomic_store(&control->state, (uint32_t)state);
}

static CUresult serve_lock(struct ccr_control *control, unsigned int timeout_ms)
{
	if (atomic_load(&control->state) != CU_PROCESS_STATE_RUNNING)
		return CUDA_ERROR_ILLEGAL_STATE;
	if (ccr_gate_close(timeout_ms))
		return CUDA_ERROR_NOT_READY;
	set_state(control, CU_PROCESS_STATE_LOCKED);
	return CUDA_SUCCESS;
}

static CUresult serve_unlock(struct ccr_control *control)
{
	if (atomic_load(&control->state) != CU_PROCESS_STATE_LOCKED)
		return CUDA_ERROR_ILLEGAL_STATE;
	set_state(control, CU_PROCESS_STATE_RUNNING);
	ccr_gate_open();
	return CUDA_SUCCESS;
}

// As much as hardware takes; several processes are served at the same time.
static void take_time(unsigned int ms)
{
	struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};

	while (syscall(SYS_nanosleep, &left, &left) && errno == EINTR)
		;
}

// For tests: until somebody opens the FIFO for writing. Without it, there is nothing to wait for.
static void wait_for_test(void)
{
	const char *fifo = ccr_soft_settings()->waits;
	int fd;

	if (!*fifo)
		return;
	do
		fd = open(fifo, O_RDONLY | O_CLOEXEC);
	while (fd < 0 && errno == EINTR);
	if (fd >= 0)
		close(fd);
}

static CUresult serve_checkpoint(struct ccr_control *control)
{
	CUresult result;

	if (atomic_load(&control->state) != CU_PROCESS_STATE_LOCKED)
		return CUDA_ERROR_ILLEGAL_STATE;
	take_time(ccr_soft_settings()->checkpoint_ms);
	wait_for_test();
	result = ccr_phys_save_all();
	if (result != CUDA_SUCCESS)
		return result;
	result = ccr_va_detach_all();
	if (result != CUDA_SUCCESS) {
		set_state(control, CU_PROCESS_STATE_FAILED);
		return result;
	}
	ccr_phys_evict_all();
	ccr_node_close();
	result = ccr_host_state_change();
	set_state(control,
		  result == CUDA_SUCCESS ? CU_PROCESS_STATE_CHECKPOINTED : CU_PROCESS_STATE_FAILED);
	return result;
}

// Finds the physical device for each device that the request names. It must name each that is in
// use, and two of these may not share a device.
static CUresult apply_pairs(const struct ccr_request *request, int *numbers)
{
	for (int d = 0; d < ccr_soft_settings()->nr_devices; d++) {
		const int number = ccr_device_number(d);

		numbers[d] = ccr_device_in_use(d) ? -1 : number;
		for (uint32_t i = 0; i < request->nr_pairs; i++)
			if (ccr_device_number_of(&request->pairs[i].oldUuid) == number)
				numbers[d] = ccr_device_number_of(&request->pairs[i].newUuid);
		if (numbers[d] < 0)
			return CUDA_ERROR_INVALID_VALUE;
		for (int other = 0; ccr_device_in_use(d) && other < d; other++)
			if (ccr_device_in_use(other) && numbers[other] == numbers[d])
				return CUDA_ERROR_INVALID_VALUE;
	}
	return CUDA_SUCCESS;
}

static void swap_numbers(int *numbers)
{
	for (int d = 0; d < ccr_soft_settings()->nr_devices; d++) {
		int old = ccr_backings[d].number;

		ccr_backings[d].number = numbers[d];
		numbers[d] = old;
	}
}

// Claims memory and, unless the bytes are in custom storage, copies them back.
static CUresult load(const struct ccr_request *request)
{
	const CUresult result = request->op == CCR_REQUEST_STORAGE_RESTORE
					? ccr_storage_check_contexts(request->timeout_ms)
					: CUDA_SUCCESS;

	return result == CUDA_SUCCESS ? ccr_phys_load_all() : result;
}

static CUresult serve_restore(struct ccr_control *control, const struct ccr_request *request,
			      uint32_t *value)
{
	const bool is_storage = request->op == CCR_REQUEST_STORAGE_RESTORE;
	int numbers[CCR_MAX_DEVICES];
	CUresult result;

	// The documentation does not say what a Restore of the other kind does.
	if (atomic_load(&control->state) != CU_PROCESS_STATE_CHECKPOINTED ||
	    is_storage != ccr_storage_is_elsewhere())
		return CUDA_ERROR_ILLEGAL_STATE;
	if (request->nr_pairs > CCR_MAX_DEVICES)
		return CUDA_ERROR_INVALID_VALUE;
	if (request->nr_pairs) {
		result = apply_pairs(request, numbers);
		if (result != CUDA_SUCCESS)
			return result;
	}
	// As on hardware: imported memory cannot be restored, so this process never runs again.
	if (ccr_phys_has_imported())
		return CUDA_ERROR_NOT_SUPPORTED;
	if (request->nr_pairs)
		swap_numbers(numbers);
	result = ccr_read_for_test();
	wait_for_test();
	if (result == CUDA_SUCCESS)
		result = ccr_host_state_check();
	if (result == CUDA_SUCCESS)
		result = ccr_pin_registered();
	if (result == CUDA_SUCCESS)
		result = load(request);
	if (result != CUDA_SUCCESS) {
		if (request->nr_pairs)
			swap_numbers(numbers);
		return result;
	}
	ccr_node_open();
	if (is_storage)
		return ccr_storage_begin_restore(control, value);
	result = ccr_va_attach_all();
	set_state(control,
		  result == CUDA_SUCCESS ? CU_PROCESS_STATE_LOCKED : CU_PROCESS_STATE_FAILED);
	return result;
}

static CUresult work(struct ccr_control *control, const struct ccr_request *request,
		     uint32_t *value)
{
	CUresult result;

	atomic_store(&control->is_working, 1);
	switch (request->op) {
	case CCR_REQUEST_CHECKPOINT:
		result = serve_checkpoint(control);
		break;
	case CCR_REQUEST_STORAGE_CHECKPOINT:
		result = ccr_storage_begin_checkpoint(control, request, value);
		break;
	case CCR_REQUEST_COMPLETE:
		result = ccr_storage_complete(control);
		break;
	default:
		result = serve_restore(control, request, value);
	}
	atomic_store(&control->is_working, 0);
	return result;
}

CUresult ccr_checkpoint_serve(struct ccr_control *control, const struct ccr_request *request,
			      uint32_t *value)
{
	if (request->op != CCR_REQUEST_COMPLETE)
		ccr_storage_find_abandoned(control);
	switch (request->op) {
	case CCR_REQUEST_STATE:
		*value = atomic_load(&control->state);
		return CUDA_SUCCESS;
	case CCR_REQUEST_LOCK:
		return serve_lock(control, request->timeout_ms);
	case CCR_REQUEST_CHECKPOINT:
	case CCR_REQUEST_RESTORE:
	case CCR_REQUEST_STORAGE_CHECKPOINT:
	case CCR_REQUEST_STORAGE_RESTORE:
	case CCR_REQUEST_COMPLETE:
		return work(control, request, value);
	case CCR_REQUEST_UNLOCK:
		return serve_unlock(control);
	}
	return CUDA_ERROR_NOT_SUPPORTED;
}
