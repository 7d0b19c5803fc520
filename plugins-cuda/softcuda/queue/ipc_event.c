// SPDX-License-Identifier: MIT
// cuIpcGetEventHandle and cuIpcOpenEventHandle. A handle names the exporter's descriptor of the
// file, and has the file's number, so that a descriptor that was used again is not mistaken for it.
#include "softcuda/queue/ipc_event.h"
#include "softcuda/impl.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define EVENT_MAGIC 0x56435049u
#define PAGE	    4096

struct counters {
	_Atomic uint64_t begun, ended;
	_Atomic uint32_t changes; // the futex
};

struct ccr_ipc_event {
	struct counters *shared;
	int fd;
};

struct name {
	uint32_t magic;
	int32_t pid, fd;
	uint64_t inode;
};

_Static_assert(sizeof(struct name) <= sizeof(CUipcEventHandle), "room in the handle");

// Takes the descriptor.
static struct ccr_ipc_event *map(int fd)
{
	struct ccr_ipc_event *event = calloc(1, sizeof(*event));
	void *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (!event || page == MAP_FAILED) {
		if (page != MAP_FAILED)
			munmap(page, PAGE);
		free(event);
		close(fd);
		return NULL;
	}
	madvise(page, PAGE, MADV_DONTFORK);
	event->shared = page;
	event->fd = fd;
	return event;
}

struct ccr_ipc_event *ccr_ipc_event_new(void)
{
	const int fd = (int)syscall(SYS_memfd_create, "softcuda-event", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, PAGE)) {
		if (fd >= 0)
			close(fd);
		return NULL;
	}
	return map(fd);
}

void ccr_ipc_event_free(struct ccr_ipc_event *event)
{
	munmap(event->shared, PAGE);
	close(event->fd);
	free(event);
}

uint64_t ccr_ipc_event_begin(struct ccr_ipc_event *event)
{
	return atomic_fetch_add(&event->shared->begun, 1) + 1;
}

uint64_t ccr_ipc_event_latest(const struct ccr_ipc_event *event)
{
	return atomic_load(&event->shared->begun);
}

void ccr_ipc_event_end(struct ccr_ipc_event *event, uint64_t number)
{
	struct counters *shared = event->shared;
	uint64_t ended = atomic_load(&shared->ended);

	while (ended < number && !atomic_compare_exchange_weak(&shared->ended, &ended, number))
		;
	atomic_fetch_add(&shared->changes, 1);
	syscall(SYS_futex, &shared->changes, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

bool ccr_ipc_event_is_done(const struct ccr_ipc_event *event, uint64_t number)
{
	return atomic_load(&event->shared->ended) >= number;
}

void ccr_ipc_event_wait(const struct ccr_ipc_event *event, uint64_t number)
{
	for (;;) {
		const uint32_t seen = atomic_load(&event->shared->changes);

		if (ccr_ipc_event_is_done(event, number))
			return;
		syscall(SYS_futex, &event->shared->changes, FUTEX_WAIT, seen, NULL, NULL, 0);
	}
}

CUresult SOFT(cuIpcGetEventHandle)(CUipcEventHandle *handle, CUevent event_handle)
{
	const struct ccr_event *event = ccr_handle_of(CCR_HANDLE_EVENT, event_handle);
	struct name name = {.magic = EVENT_MAGIC, .pid = getpid()};
	struct stat st;

	if (!handle)
		return CUDA_ERROR_INVALID_VALUE;
	if (!event || !event->ipc || event->is_opened)
		return CUDA_ERROR_INVALID_HANDLE;
	if (fstat(event->ipc->fd, &st))
		return CUDA_ERROR_OPERATING_SYSTEM;
	name.fd = event->ipc->fd;
	name.inode = st.st_ino;
	memset(handle, 0, sizeof(*handle));
	memcpy(handle, &name, sizeof(name));
	return CUDA_SUCCESS;
}

static int open_file(const struct name *name)
{
	char path[64];
	struct stat st;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", name->pid, name->fd);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd >= 0 && (fstat(fd, &st) || st.st_ino != name->inode)) {
		close(fd);
		fd = -1;
	}
	return fd;
}

CUresult SOFT(cuIpcOpenEventHandle)(CUevent *event, CUipcEventHandle handle)
{
	struct ccr_ipc_event *ipc;
	struct ccr_ctx *ctx;
	CUresult result = ccr_ctx_current(&ctx);
	struct name name;
	int fd;

	if (result != CUDA_SUCCESS)
		return result;
	memcpy(&name, &handle, sizeof(name));
	if (!event)
		return CUDA_ERROR_INVALID_VALUE;
	if (name.magic != EVENT_MAGIC)
		return CUDA_ERROR_MAP_FAILED;
	if (name.pid == getpid())
		return CUDA_ERROR_INVALID_CONTEXT;
	fd = open_file(&name);
	if (fd < 0)
		return CUDA_ERROR_MAP_FAILED;
	ipc = map(fd);
	if (!ipc)
		return CUDA_ERROR_OUT_OF_MEMORY;
	return ccr_event_new(event, ctx, CU_EVENT_INTERPROCESS | CU_EVENT_DISABLE_TIMING, ipc,
			     true);
}
