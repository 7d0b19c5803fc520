// SPDX-License-Identifier: MIT
#include "intercept/records/ipc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "intercept/keeper/keeper.h"
#include "intercept/records/kept.h"

#define MAGIC 0x3143504975726963ull /* "criuIPC1" */

static_assert(sizeof(struct ccr__ipc_handle) <= sizeof(CUipcMemHandle), "room in the handle");

bool ccr__ipc_note(struct ccr__phys *phys, const struct ccr__token *token)
{
	phys->ipc = calloc(1, sizeof(*phys->ipc));
	if (phys->ipc)
		phys->ipc->token = *token;
	return phys->ipc != NULL;
}

static CUresult publish(struct ccr__phys *phys)
{
	CUresult result;
	int fd, ret;

	result = ccr__real.cuMemExportToShareableHandle(
		&fd, phys->handle, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0);
	if (result != CUDA_SUCCESS)
		return result;
	ret = ccr__kept_publish(phys, fd);
	close(fd);
	return ret ? CUDA_ERROR_OUT_OF_MEMORY : CUDA_SUCCESS;
}

static CUresult begin(struct ccr__phys *phys)
{
	struct ccr__token token;
	CUresult result;

	/* The C library has the function since 2.25 only. */
	if (syscall(SYS_getrandom, &token, sizeof(token), 0) != sizeof(token))
		return CUDA_ERROR_OPERATING_SYSTEM;
	if (!ccr__ipc_note(phys, &token))
		return CUDA_ERROR_OUT_OF_MEMORY;
	result = publish(phys);
	if (result != CUDA_SUCCESS) {
		free(phys->ipc);
		phys->ipc = NULL;
	}
	return result;
}

CUresult ccr__ipc_handle_of(struct ccr__phys *phys, CUipcMemHandle *handle)
{
	struct ccr__ipc_handle ours = {.magic = MAGIC, .pid = getpid()};
	CUresult result;

	if (phys->is_excluded || phys->is_imported) {
		ccr_warn("cuIpcGetMemHandle: allocation %llu cannot be shared: %s",
			 (unsigned long long)phys->id,
			 phys->is_excluded ? "it is left to the driver"
					   : "it was restored in the pool's memory; restore with "
					     "CRIU_CUDA_HANDOVER=adopt");
		return CUDA_ERROR_NOT_SUPPORTED;
	}
	if (!phys->ipc) {
		result = begin(phys);
		if (result != CUDA_SUCCESS)
			return result;
	}
	ours.token = phys->ipc->token;
	ours.size = phys->size;
	ours.requested = phys->requested;
	memset(handle, 0, sizeof(*handle));
	memcpy(handle, &ours, sizeof(ours));
	return CUDA_SUCCESS;
}

bool ccr__ipc_is_ours(const CUipcMemHandle *handle, struct ccr__ipc_handle *out)
{
	memcpy(out, handle, sizeof(*out));
	return out->magic == MAGIC;
}

static bool is_same(const struct ccr__token *a, const struct ccr__token *b)
{
	return a->random[0] == b->random[0] && a->random[1] == b->random[1];
}

struct ccr__mapping *ccr__ipc_opened(const struct ccr__token *token, CUcontext ctx)
{
	for (struct ccr__phys *phys = ccr__memory.all; phys; phys = phys->next) {
		if (!phys->is_foreign || !phys->ipc || !is_same(&phys->ipc->token, token))
			continue;
		if (phys->maps && phys->maps->ctx == ctx && !phys->maps->is_freeing)
			return phys->maps;
	}
	return NULL;
}

void ccr__ipc_kept(const struct ccr__phys *phys, uint64_t number)
{
	int ret;

	if (!phys->ipc || phys->is_foreign)
		return;
	ret = ccr__keep_publish(number, &phys->ipc->token);
	if (ret)
		ccr_warn("CUDA IPC handles of allocation %llu cannot be opened: %s",
			 (unsigned long long)phys->id, strerror(-ret));
}

void ccr__ipc_publish_all(void)
{
	for (struct ccr__phys *phys = ccr__memory.all; phys; phys = phys->next) {
		CUresult result;

		if (!phys->ipc || phys->is_foreign || phys->kept || !phys->handle)
			continue;
		result = publish(phys);
		if (result != CUDA_SUCCESS)
			ccr_warn("CUDA IPC handles of allocation %llu cannot be opened: %s",
				 (unsigned long long)phys->id, ccr_cuda_error_name(result));
	}
}
