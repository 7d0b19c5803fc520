// SPDX-License-Identifier: MIT
// The file behind each device, <dir>/device<N>.mem. A process claims memory with an OFD write lock
// on a range of the file. So memory is accounted across processes, and the kernel frees it when the
// owner's last descriptor and mapping are gone, even if the owner was killed. The file is sparse
// and far larger than the device, so fragmentation never makes a request fail; the device's size
// limits the sum of all locks.
//
// Callers hold mem_lock or are the restore thread of a locked process. Nothing here calls malloc.
#include "softcuda/softcuda.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define OFFSET_END (8ull << 40)
// Two bytes after all memory. A process that uses the device holds a read lock on the first, which
// is also why CRIU refuses a process that was not checkpointed. A process holds a write lock on the
// second while it claims memory.
#define USE_BYTE   OFFSET_END
#define CLAIM_BYTE (OFFSET_END + 1)

struct ccr_backing ccr_backings[CCR_MAX_DEVICES] = {
	[0 ... CCR_MAX_DEVICES - 1] = {.shared_fd = -1, .probe_fd = -1, .number = -1},
};

static const char uuid_prefix[12] = "softcuda\0\0\0\1";

void ccr_device_uuid(int number, CUuuid *uuid)
{
	memcpy(uuid->bytes, uuid_prefix, sizeof(uuid_prefix));
	for (int i = 0; i < 4; i++)
		uuid->bytes[12 + i] = (char)(number >> (24 - 8 * i));
}

int ccr_device_number(int device)
{
	return ccr_backings[device].number < 0 ? device : ccr_backings[device].number;
}

int ccr_device_number_of(const CUuuid *uuid)
{
	for (int i = 0; i < ccr_soft_settings()->nr_devices; i++) {
		CUuuid have;

		ccr_device_uuid(i, &have);
		if (!memcmp(&have, uuid, sizeof(have)))
			return i;
	}
	return -1;
}

static int set_lock(int fd, short type, uint64_t offset, uint64_t size)
{
	struct flock lock = {.l_type = type,
			     .l_whence = SEEK_SET,
			     .l_start = (off_t)offset,
			     .l_len = (off_t)size};

	return fcntl(fd, F_OFD_SETLK, &lock);
}

// Finds a lock in [from, to). The probe's own file description holds none, so it sees all of them.
bool ccr_backing_find_lock(int device, uint64_t from, uint64_t to, uint64_t *start, uint64_t *end)
{
	struct flock lock = {.l_type = F_WRLCK,
			     .l_whence = SEEK_SET,
			     .l_start = (off_t)from,
			     .l_len = (off_t)(to - from)};

	if (from >= to || fcntl(ccr_backings[device].probe_fd, F_OFD_GETLK, &lock) ||
	    lock.l_type == F_UNLCK)
		return false;
	*start = (uint64_t)lock.l_start;
	*end = lock.l_len ? *start + (uint64_t)lock.l_len : OFFSET_END;
	return true;
}

// The kernel returns any lock of a range, so we ask for a short one first: memory is rarely sparse.
static bool first_lock(int device, uint64_t from, uint64_t to, uint64_t *start, uint64_t *end)
{
	uint64_t s, e, window = CCR_PAGE_2M;

	while (window < to - from &&
	       !ccr_backing_find_lock(device, from, from + window, start, end))
		window *= 2;
	if (window >= to - from && !ccr_backing_find_lock(device, from, to, start, end))
		return false;
	while (*start > from && ccr_backing_find_lock(device, from, *start, &s, &e)) {
		*start = s;
		*end = e;
	}
	return true;
}

static uint64_t count_locked(int device)
{
	uint64_t used = 0, pos = 0, start, end;

	while (first_lock(device, pos, OFFSET_END, &start, &end)) {
		used += end - (start > pos ? start : pos);
		pos = end;
	}
	return used;
}

CUresult ccr_backing_used(int device, uint64_t *used)
{
	CUresult result = ccr_backing_open(device);

	if (result == CUDA_SUCCESS)
		*used = count_locked(device);
	return result;
}

static void punch(int fd, uint64_t offset, uint64_t size)
{
	// A file system that cannot punch holes keeps the pages; then claim() writes zeros.
	(void)!fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
			 (off_t)size);
}

// Prevents two processes from claiming at the same time. Freeing memory and writing to it need no
// lock.
static void set_claim_lock(int device, short type)
{
	struct flock lock = {
		.l_type = type, .l_whence = SEEK_SET, .l_start = (off_t)CLAIM_BYTE, .l_len = 1};

	while (fcntl(ccr_backings[device].probe_fd, F_OFD_SETLKW, &lock) && errno == EINTR)
		;
}

// Frees pages of killed processes. Called when a process opens the device.
static void free_unclaimed(int device)
{
	int fd = ccr_backings[device].shared_fd;
	uint64_t start, end;
	off_t data, hole = 0;

	while ((data = lseek(fd, hole, SEEK_DATA)) >= 0) {
		uint64_t pos = (uint64_t)data;

		hole = lseek(fd, data, SEEK_HOLE);
		if (hole < 0)
			return;
		while (pos < (uint64_t)hole) {
			if (!first_lock(device, pos, (uint64_t)hole, &start, &end))
				start = end = (uint64_t)hole;
			if (start > pos && !set_lock(fd, F_WRLCK, pos, start - pos)) {
				punch(fd, pos, start - pos);
				set_lock(fd, F_UNLCK, pos, start - pos);
			}
			pos = end;
		}
	}
}

static bool is_same_file(int a, int b)
{
	struct stat first, second;

	return !fstat(a, &first) && !fstat(b, &second) && first.st_dev == second.st_dev &&
	       first.st_ino == second.st_ino;
}

bool ccr_backing_has_dir(void)
{
	const char *dir = ccr_soft_settings()->dir;
	struct stat st;

	if (mkdir(dir, 0700) && errno != EEXIST)
		return false;
	// The default name can be guessed and everyone may create files in its parent, so check the
	// owner.
	if (ccr_soft_settings()->dir_is_preset &&
	    (lstat(dir, &st) || !S_ISDIR(st.st_mode) || st.st_uid != geteuid())) {
		errno = EPERM;
		return false;
	}
	return true;
}

static int open_file(int device)
{
	char path[256];

	if (!ccr_backing_has_dir())
		return -1;
	snprintf(path, sizeof(path), "%s/device%d.mem", ccr_soft_settings()->dir,
		 ccr_backings[device].number);
	return open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
}

static void close_one(struct ccr_backing *backing)
{
	if (backing->shared_fd >= 0)
		close(backing->shared_fd);
	if (backing->probe_fd >= 0)
		close(backing->probe_fd);
	backing->shared_fd = backing->probe_fd = -1;
}

CUresult ccr_backing_open(int device)
{
	struct ccr_backing *backing = &ccr_backings[device];

	if (backing->shared_fd >= 0)
		return CUDA_SUCCESS;
	if (backing->number < 0)
		backing->number = device;
	backing->shared_fd = open_file(device);
	backing->probe_fd = open_file(device);
	if (backing->shared_fd < 0 || backing->probe_fd < 0 ||
	    !is_same_file(backing->shared_fd, backing->probe_fd) ||
	    set_lock(backing->shared_fd, F_RDLCK, USE_BYTE, 1)) {
		int error = errno;

		close_one(backing);
		errno = error;
		return error == EMFILE || error == ENFILE ? CUDA_ERROR_OUT_OF_MEMORY
							  : CUDA_ERROR_OPERATING_SYSTEM;
	}
	set_claim_lock(device, F_WRLCK);
	free_unclaimed(device);
	set_claim_lock(device, F_UNLCK);
	return CUDA_SUCCESS;
}

CUresult ccr_backing_open_all(void)
{
	CUresult result = CUDA_SUCCESS;

	for (int i = 0; i < ccr_soft_settings()->nr_devices && result == CUDA_SUCCESS; i++)
		result = ccr_backing_open(i);
	return result;
}

void ccr_backing_close_all(void)
{
	for (int i = 0; i < CCR_MAX_DEVICES; i++)
		close_one(&ccr_backings[i]);
}

// When the directory was removed, the path leads to a new file. Locks in it would not be seen in
// ours, and so nobody would know which memory is free.
CUresult ccr_backing_new_fd(int device, int *fd)
{
	*fd = open_file(device);
	if (*fd < 0)
		return CUDA_ERROR_OUT_OF_MEMORY;
	if (is_same_file(*fd, ccr_backings[device].shared_fd))
		return CUDA_SUCCESS;
	close(*fd);
	*fd = -1;
	return CUDA_ERROR_OPERATING_SYSTEM;
}

static int lock_free_range(int device, int fd, uint64_t size, uint64_t *offset)
{
	uint64_t pos = 0, start, end;

	while (pos + size <= OFFSET_END) {
		if (ccr_backing_find_lock(device, pos, pos + size, &start, &end)) {
			pos = ccr_round_up(end, CCR_PAGE_2M);
			continue;
		}
		if (!set_lock(fd, F_WRLCK, pos, size)) {
			*offset = pos;
			return 0;
		}
		if (errno != EAGAIN &&
		    errno != EACCES) // another process may have taken the lock first
			return -errno;
	}
	return -ENOMEM;
}

static CUresult claim_range(int device, int fd, uint64_t size, uint64_t *offset)
{
	if (lock_free_range(device, fd, size, offset))
		return CUDA_ERROR_OUT_OF_MEMORY;
	if (count_locked(device) <= ccr_soft_settings()->memory_bytes)
		return CUDA_SUCCESS;
	set_lock(fd, F_UNLCK, *offset, size);
	return CUDA_ERROR_OUT_OF_MEMORY;
}

// Claims zeroed memory with a lock owned by fd's file description.
CUresult ccr_backing_claim(int device, int fd, uint64_t size, uint64_t *offset)
{
	CUresult result;

	set_claim_lock(device, F_WRLCK);
	result = claim_range(device, fd, size, offset);
	set_claim_lock(device, F_UNLCK);
	if (result != CUDA_SUCCESS)
		return result;
	punch(fd, *offset, size);
	// Reserve the pages, so that a full file system is an error here instead of a SIGBUS later.
	if (!fallocate(fd, 0, (off_t)*offset, (off_t)size))
		return CUDA_SUCCESS;
	ccr_backing_release(device, fd, *offset, size);
	return CUDA_ERROR_OUT_OF_MEMORY;
}

int ccr_backing_name(int fd, uint64_t offset, uint64_t size)
{
	if (lseek(fd, (off_t)offset, SEEK_SET) < 0 || set_lock(fd, F_RDLCK, offset, size))
		return -errno;
	return 0;
}

void ccr_backing_release(int device, int fd, uint64_t offset, uint64_t size)
{
	punch(fd, offset, size);
	set_lock(fd, F_UNLCK, offset, size);
}

int ccr_backing_device_of(int fd)
{
	for (int i = 0; i < ccr_soft_settings()->nr_devices; i++)
		if (ccr_backing_open(i) == CUDA_SUCCESS &&
		    is_same_file(fd, ccr_backings[i].shared_fd))
			return i;
	return -1;
}
