// SPDX-License-Identifier: MIT
// Physical allocations. Each is a range of a device's file. An exportable one has its own open file
// description, which holds the lock and whose file offset names the range. Each export opens
// another one, as on hardware, with the same offset and a lock of its own; the locks are read
// locks, so that one range can have several. An importer learns range and length from the
// descriptor and keeps it.
//
// mem_lock guards the list. The *_all functions run in the restore thread of a locked process.
#include "softcuda/softcuda.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_POPULATE_WRITE // Linux 5.14
#define MADV_POPULATE_WRITE 23
#endif

static struct {
	struct ccr_phys *head;
	char *saved; // an anonymous mapping with the bytes of all allocations
	uint64_t saved_bytes;
} phys_list;

int ccr_phys_fd(const struct ccr_phys *phys)
{
	return phys->fd >= 0 ? phys->fd : ccr_backings[phys->device].shared_fd;
}

static CUresult claim(struct ccr_phys *phys)
{
	CUresult result = ccr_backing_open(phys->device);

	if (result != CUDA_SUCCESS)
		return result;
	phys->fd = -1;
	if (phys->prop.requestedHandleTypes & CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR)
		result = ccr_backing_new_fd(phys->device, &phys->fd);
	if (result != CUDA_SUCCESS)
		return result;
	result = ccr_backing_claim(phys->device, ccr_phys_fd(phys), phys->size, &phys->offset);
	if (result == CUDA_SUCCESS && phys->fd >= 0 &&
	    ccr_backing_name(phys->fd, phys->offset, phys->size))
		result = CUDA_ERROR_OPERATING_SYSTEM;
	if (result != CUDA_SUCCESS && phys->fd >= 0) {
		close(phys->fd);
		phys->fd = -1;
	}
	return result;
}

// Frees the range, unless another process has a duplicate of the description.
static void disclaim(struct ccr_phys *phys)
{
	struct ccr_backing *backing = &ccr_backings[phys->device];
	struct flock lock = {.l_type = F_WRLCK,
			     .l_whence = SEEK_SET,
			     .l_start = (off_t)phys->offset,
			     .l_len = (off_t)phys->size};

	if (phys->fd < 0) {
		ccr_backing_release(phys->device, backing->shared_fd, phys->offset, phys->size);
		return;
	}
	close(phys->fd);
	phys->fd = -1;
	if (!phys->is_imported && !fcntl(backing->shared_fd, F_OFD_SETLK, &lock))
		ccr_backing_release(phys->device, backing->shared_fd, phys->offset, phys->size);
}

static void link_phys(struct ccr_phys *phys)
{
	phys->id = ccr_next_id();
	phys->next = phys_list.head;
	phys->prev = NULL;
	if (phys->next)
		phys->next->prev = phys;
	phys_list.head = phys;
}

CUresult ccr_phys_new(struct ccr_phys **out, const CUmemAllocationProp *prop, uint64_t size)
{
	struct ccr_phys *phys = calloc(1, sizeof(*phys));
	CUresult result;

	if (!phys)
		return CUDA_ERROR_OUT_OF_MEMORY;
	phys->device = prop->location.id;
	phys->prop = *prop;
	phys->size = size;
	result = claim(phys);
	if (result != CUDA_SUCCESS) {
		free(phys);
		return result;
	}
	link_phys(phys);
	*out = phys;
	return CUDA_SUCCESS;
}

CUresult ccr_phys_export(const struct ccr_phys *phys, int *fd)
{
	CUresult result = ccr_backing_new_fd(phys->device, fd);

	if (result != CUDA_SUCCESS)
		return result;
	if (!ccr_backing_name(*fd, phys->offset, phys->size))
		return CUDA_SUCCESS;
	close(*fd);
	return CUDA_ERROR_OPERATING_SYSTEM;
}

CUresult ccr_phys_import(struct ccr_phys **out, int fd)
{
	int device = ccr_backing_device_of(fd);
	off_t offset = device < 0 ? -1 : lseek(fd, 0, SEEK_CUR);
	uint64_t start, end;
	struct ccr_phys *phys;

	if (offset < 0 ||
	    !ccr_backing_find_lock(device, (uint64_t)offset, (uint64_t)offset + 1, &start, &end) ||
	    start != (uint64_t)offset)
		return CUDA_ERROR_INVALID_VALUE;
	phys = calloc(1, sizeof(*phys));
	if (!phys)
		return CUDA_ERROR_OUT_OF_MEMORY;
	phys->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (phys->fd < 0) {
		free(phys);
		return CUDA_ERROR_OUT_OF_MEMORY;
	}
	phys->device = device;
	phys->offset = start;
	phys->size = end - start;
	phys->is_imported = true;
	phys->prop.type = CU_MEM_ALLOCATION_TYPE_PINNED;
	phys->prop.requestedHandleTypes = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
	phys->prop.location = (CUmemLocation){CU_MEM_LOCATION_TYPE_DEVICE, device};
	link_phys(phys);
	*out = phys;
	return CUDA_SUCCESS;
}

// A range of the device's file that another process has claimed, without a lock of our own.
CUresult ccr_phys_import_range(struct ccr_phys **out, int device, uint64_t offset, uint64_t size)
{
	CUresult result = ccr_backing_open(device);
	uint64_t start, end;
	struct ccr_phys *phys;

	if (result != CUDA_SUCCESS)
		return result;
	if (!ccr_backing_find_lock(device, offset, offset + size, &start, &end))
		return CUDA_ERROR_INVALID_VALUE;
	phys = calloc(1, sizeof(*phys));
	if (!phys)
		return CUDA_ERROR_OUT_OF_MEMORY;
	phys->fd = fcntl(ccr_backings[device].shared_fd, F_DUPFD_CLOEXEC, 3);
	if (phys->fd < 0) {
		free(phys);
		return CUDA_ERROR_OUT_OF_MEMORY;
	}
	phys->device = device;
	phys->offset = offset;
	phys->size = size;
	phys->is_imported = true;
	phys->prop.type = CU_MEM_ALLOCATION_TYPE_PINNED;
	phys->prop.location = (CUmemLocation){CU_MEM_LOCATION_TYPE_DEVICE, device};
	link_phys(phys);
	*out = phys;
	return CUDA_SUCCESS;
}

void ccr_phys_put(struct ccr_phys *phys)
{
	if (phys->handle_refs || phys->map_refs)
		return;
	disclaim(phys);
	if (phys->prev)
		phys->prev->next = phys->next;
	else
		phys_list.head = phys->next;
	if (phys->next)
		phys->next->prev = phys->prev;
	free(phys);
}

struct ccr_phys *ccr_phys_next(const struct ccr_phys *phys)
{
	return phys ? phys->next : phys_list.head;
}

bool ccr_phys_has_imported(void)
{
	for (struct ccr_phys *p = phys_list.head; p; p = p->next)
		if (p->is_imported)
			return true;
	return false;
}

static CUresult copy_out(const struct ccr_phys *phys)
{
	uint64_t done = 0;

	while (done < phys->size) {
		ssize_t n = pread(ccr_phys_fd(phys), phys->saved + done, phys->size - done,
				  (off_t)(phys->offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return CUDA_ERROR_OPERATING_SYSTEM;
		done += (uint64_t)n;
	}
	return CUDA_SUCCESS;
}

static CUresult copy_in(const struct ccr_phys *phys)
{
	uint64_t done = 0;

	while (phys->saved && done < phys->size) {
		ssize_t n = pwrite(ccr_phys_fd(phys), phys->saved + done, phys->size - done,
				   (off_t)(phys->offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return CUDA_ERROR_OPERATING_SYSTEM;
		done += (uint64_t)n;
	}
	return CUDA_SUCCESS;
}

static void drop_saved(void)
{
	if (phys_list.saved)
		munmap(phys_list.saved, phys_list.saved_bytes);
	phys_list.saved = NULL;
	phys_list.saved_bytes = 0;
	for (struct ccr_phys *p = phys_list.head; p; p = p->next)
		p->saved = NULL;
}

// Copies every allocation of this process to a private anonymous mapping. Call it while the device
// mappings still exist. A failure changes nothing.
CUresult ccr_phys_save_all(void)
{
	uint64_t total = 0, at = 0;
	struct ccr_phys *p;

	for (p = phys_list.head; p; p = p->next)
		total += p->is_imported ? 0 : p->size;
	if (total) {
		void *saved = mmap(NULL, total, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

		if (saved == MAP_FAILED)
			return CUDA_ERROR_OUT_OF_MEMORY;
		phys_list.saved = saved;
		phys_list.saved_bytes = total;
		// As on hardware: the memory is populated by one call, and until it returns the
		// kernel lets no thread change the list of mappings. It may fail without harm.
		madvise(saved, total, MADV_POPULATE_WRITE);
	}
	for (p = phys_list.head; p; p = p->next) {
		CUresult result;

		if (p->is_imported)
			continue;
		p->saved = phys_list.saved + at;
		at += p->size;
		result = copy_out(p);
		if (result != CUDA_SUCCESS) {
			drop_saved();
			return result;
		}
	}
	return CUDA_SUCCESS;
}

// Second half of a checkpoint: frees the physical memory.
void ccr_phys_evict_all(void)
{
	for (struct ccr_phys *p = phys_list.head; p; p = p->next)
		disclaim(p);
	ccr_backing_close_all();
}

// The claims are locks of the open files, which the parent keeps.
void ccr_phys_close_all(void)
{
	for (struct ccr_phys *p = phys_list.head; p; p = p->next) {
		if (p->fd >= 0)
			close(p->fd);
		p->fd = -1;
	}
	ccr_backing_close_all();
}

// Claims memory again and copies back. On failure it frees what it has claimed, so that the caller
// may try again.
CUresult ccr_phys_load_all(void)
{
	CUresult result = ccr_backing_open_all();
	struct ccr_phys *p, *failed;

	if (result != CUDA_SUCCESS) {
		ccr_backing_close_all();
		return result;
	}
	for (p = phys_list.head; p && result == CUDA_SUCCESS; p = p->next) {
		result = claim(p);
		if (result != CUDA_SUCCESS)
			break;
		result = copy_in(p);
		if (result != CUDA_SUCCESS)
			disclaim(p);
		if (result != CUDA_SUCCESS)
			break;
	}
	if (result == CUDA_SUCCESS) {
		drop_saved();
		return result;
	}
	for (failed = p, p = phys_list.head; p != failed; p = p->next)
		disclaim(p);
	ccr_backing_close_all();
	return result;
}

bool ccr_phys_on_device(int device)
{
	for (struct ccr_phys *p = phys_list.head; p; p = p->next)
		if (p->device == device)
			return true;
	return false;
}
