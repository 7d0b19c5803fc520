// SPDX-License-Identifier: MIT
// Custom storage in the CUDA process: lists its memory for a caller that maps it, and waits for the
// caller to complete the operation. Everything here runs in the restore thread.
#include "softcuda/checkpoint/checkpoint.h"

#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>

static struct {
	// The bytes of the last Checkpoint are in custom storage, not in this process. CRIU
	// restores it, as it does the rest of this process.
	bool is_elsewhere;
	uint64_t table_bytes;
} storage;

bool ccr_storage_is_elsewhere(void)
{
	return storage.is_elsewhere;
}

static void drop_table(void)
{
	if (storage.table_bytes)
		munmap((void *)CCR_VA_STORAGE, storage.table_bytes);
	storage.table_bytes = 0;
}

static CUresult write_table(uint32_t *count)
{
	struct ccr_storage_range *table;
	uint32_t nr = 0;

	for (struct ccr_phys *p = ccr_phys_next(NULL); p; p = ccr_phys_next(p))
		nr += !p->is_imported;
	for (int d = 0; d < ccr_soft_settings()->nr_devices; d++)
		nr += ccr_device_in_use(d);
	storage.table_bytes = ccr_round_up((nr + 1) * sizeof(*table), 4096);
	table = mmap((void *)CCR_VA_STORAGE, storage.table_bytes, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	if (table == MAP_FAILED) {
		storage.table_bytes = 0;
		return CUDA_ERROR_OUT_OF_MEMORY;
	}
	*count = nr;
	for (struct ccr_phys *p = ccr_phys_next(NULL); p; p = ccr_phys_next(p))
		if (!p->is_imported)
			*table++ = (struct ccr_storage_range){
				.offset = p->offset,
				.size = p->size,
				.number = ccr_device_number(p->device),
			};
	// A device without memory is listed, too: the documentation does not leave it out.
	for (int d = 0; d < ccr_soft_settings()->nr_devices; d++)
		if (ccr_device_in_use(d))
			*table++ = (struct ccr_storage_range){.number = ccr_device_number(d)};
	return CUDA_SUCCESS;
}

CUresult ccr_storage_check_contexts(uint32_t numbers)
{
	for (int d = 0; d < ccr_soft_settings()->nr_devices; d++)
		if (ccr_device_in_use(d) && !(numbers & 1u << ccr_device_number(d)))
			return CUDA_ERROR_INVALID_CONTEXT;
	return CUDA_SUCCESS;
}

CUresult ccr_storage_begin_checkpoint(struct ccr_control *control,
				      const struct ccr_request *request, uint32_t *count)
{
	CUresult result;

	if (atomic_load(&control->state) != CU_PROCESS_STATE_LOCKED)
		return CUDA_ERROR_ILLEGAL_STATE;
	result = ccr_storage_check_contexts(request->timeout_ms);
	if (result == CUDA_SUCCESS)
		result = write_table(count);
	if (result == CUDA_SUCCESS)
		atomic_store(&control->state, CU_PROCESS_STATE_CHECKPOINTING);
	return result;
}

CUresult ccr_storage_begin_restore(struct ccr_control *control, uint32_t *count)
{
	const CUresult result = write_table(count);

	if (result == CUDA_SUCCESS)
		atomic_store(&control->state, CU_PROCESS_STATE_RESTORING);
	return result;
}

CUresult ccr_storage_complete(struct ccr_control *control)
{
	const uint32_t state = atomic_load(&control->state);
	CUprocessState next = CU_PROCESS_STATE_LOCKED;
	CUresult result;

	if (state != CU_PROCESS_STATE_CHECKPOINTING && state != CU_PROCESS_STATE_RESTORING)
		return CUDA_ERROR_ILLEGAL_STATE;
	drop_table();
	if (state == CU_PROCESS_STATE_RESTORING) {
		result = ccr_va_attach_all();
		storage.is_elsewhere = false;
	} else {
		result = ccr_va_detach_all();
		next = CU_PROCESS_STATE_CHECKPOINTED;
		if (result == CUDA_SUCCESS) {
			ccr_phys_evict_all();
			ccr_node_close();
			storage.is_elsewhere = true;
		}
	}
	atomic_store(&control->state, result == CUDA_SUCCESS ? next : CU_PROCESS_STATE_FAILED);
	return result;
}

// Not documented, so it can be chosen: what happens to a process whose caller has ended between the
// first call and Complete.
static bool stays_stuck(void)
{
	const char *text = getenv("SOFTCUDA_ABANDONED");

	return text && text[0] == 's';
}

void ccr_storage_find_abandoned(struct ccr_control *control)
{
	const uint32_t state = atomic_load(&control->state);

	if (state != CU_PROCESS_STATE_CHECKPOINTING && state != CU_PROCESS_STATE_RESTORING)
		return;
	if (stays_stuck() || flock(control->request_fds[0], LOCK_EX | LOCK_NB))
		return;
	flock(control->request_fds[0], LOCK_UN);
	drop_table();
	// Its memory is still its own in a Checkpoint, and incomplete in a Restore.
	atomic_store(&control->state, state == CU_PROCESS_STATE_CHECKPOINTING
					      ? CU_PROCESS_STATE_LOCKED
					      : CU_PROCESS_STATE_FAILED);
}
