// SPDX-License-Identifier: MIT
// Virtual memory management and memory shared between processes.
#include "test/softcuda/softcuda_test.h"

#include <limits.h>
#include <linux/kcmp.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#define BYTES (4 * MIB)

static const CUmemAllocationProp plain_prop = {
	.type = CU_MEM_ALLOCATION_TYPE_PINNED,
	.location = {CU_MEM_LOCATION_TYPE_DEVICE, 0},
};
static const CUmemAccessDesc read_write = {{CU_MEM_LOCATION_TYPE_DEVICE, 0},
					   CU_MEM_ACCESS_FLAGS_PROT_READWRITE};

static void test_life(void)
{
	CUmemGenericAllocationHandle handle, second;
	CUmemAllocationProp prop;
	CUdeviceptr ptr, base;
	unsigned long long flags;
	unsigned char byte = 9;
	size_t size;

	OK(cuMemGetAllocationGranularity(&size, &plain_prop, CU_MEM_ALLOC_GRANULARITY_MINIMUM));
	CHECK(size == 2 * MIB);
	RESULT_IS(cuMemAddressReserve(&ptr, MIB, 0, 0, 0), CUDA_ERROR_INVALID_VALUE);
	RESULT_IS(cuMemCreate(&handle, MIB, &plain_prop, 0), CUDA_ERROR_INVALID_VALUE);
	OK(cuMemAddressReserve(&ptr, 4 * BYTES, 0, 0, 0));
	OK(cuMemCreate(&handle, BYTES, &plain_prop, 0));
	CHECK(free_memory() == 64 * MIB - BYTES);
	OK(cuMemMap(ptr, BYTES, 0, handle, 0));
	RESULT_IS(cuMemMap(ptr, BYTES, 0, handle, 0), CUDA_ERROR_INVALID_VALUE);
	RESULT_IS(cuMemMap(ptr + 4 * BYTES, BYTES, 0, handle, 0), CUDA_ERROR_INVALID_VALUE);
	RESULT_IS(cuMemMap(ptr + BYTES, 2 * BYTES, 0, handle, 0), CUDA_ERROR_INVALID_VALUE);
	// Mapped memory is not accessible yet.
	RESULT_IS(cuMemsetD8_v2(ptr, 1, 1), CUDA_ERROR_INVALID_VALUE);
	OK(cuMemSetAccess(ptr, BYTES, &read_write, 1));
	OK(cuMemGetAccess(&flags, &read_write.location, ptr + 100));
	CHECK(flags == CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
	OK(cuMemcpyDtoH_v2(&byte, ptr + BYTES - 1, 1));
	CHECK(byte == 0);
	OK(cuMemGetAddressRange_v2(&base, &size, ptr + 5));
	CHECK(base == ptr && size == BYTES);
	// Map the same memory at a second address.
	OK(cuMemMap(ptr + BYTES, BYTES, 0, handle, 0));
	OK(cuMemSetAccess(ptr, 2 * BYTES, &read_write, 1));
	OK(cuMemsetD8_v2(ptr + 7, 0x77, 1));
	OK(cuMemcpyDtoH_v2(&byte, ptr + BYTES + 7, 1));
	CHECK(byte == 0x77);
	// A copy may span two mappings.
	OK(cuMemsetD8_v2(ptr, 0x55, 2 * BYTES));
	RESULT_IS(cuMemsetD8_v2(ptr, 0x55, 2 * BYTES + 1), CUDA_ERROR_INVALID_VALUE);
	OK(cuMemRetainAllocationHandle(&second, (void *)(uintptr_t)(ptr + 10)));
	CHECK(second == handle);
	OK(cuMemRelease(second));
	OK(cuMemGetAllocationPropertiesFromHandle(&prop, handle));
	CHECK(prop.location.id == 0 && !prop.requestedHandleTypes);
	OK(cuMemRelease(handle));
	RESULT_IS(cuMemRelease(handle), CUDA_ERROR_INVALID_VALUE);
	CHECK(free_memory() == 64 * MIB - BYTES);
	RESULT_IS(cuMemAddressFree(ptr, 4 * BYTES), CUDA_ERROR_INVALID_VALUE);
	RESULT_IS(cuMemUnmap(ptr, BYTES / 2), CUDA_ERROR_INVALID_VALUE);
	RESULT_IS(cuMemFree_v2(ptr), CUDA_ERROR_INVALID_VALUE);
	OK(cuMemUnmap(ptr, BYTES));
	RESULT_IS(cuMemcpyDtoH_v2(&byte, ptr, 1), CUDA_ERROR_INVALID_VALUE);
	OK(cuMemUnmap(ptr + BYTES, BYTES));
	CHECK(free_memory() == 64 * MIB);
	RESULT_IS(cuMemAddressFree(ptr, BYTES), CUDA_ERROR_INVALID_VALUE);
	OK(cuMemAddressFree(ptr, 4 * BYTES));
	// A free address can be reserved again.
	OK(cuMemAddressReserve(&base, 4 * BYTES, 0, ptr, 0));
	CHECK(base == ptr);
	OK(cuMemAddressFree(ptr, 4 * BYTES));
}

static void test_read_only(void)
{
	CUmemAccessDesc read_only = read_write;
	CUmemGenericAllocationHandle handle;
	CUdeviceptr ptr = vmm_alloc(BYTES, false, &handle);
	unsigned char byte;
	int fd;

	read_only.flags = CU_MEM_ACCESS_FLAGS_PROT_READ;
	OK(cuMemsetD8_v2(ptr, 3, BYTES));
	OK(cuMemSetAccess(ptr, BYTES, &read_only, 1));
	RESULT_IS(cuMemsetD8_v2(ptr, 4, BYTES), CUDA_ERROR_INVALID_VALUE);
	OK(cuMemcpyDtoH_v2(&byte, ptr, 1));
	CHECK(byte == 3);
	// It was not created exportable.
	RESULT_IS(cuMemExportToShareableHandle(&fd, handle,
					       CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0),
		  CUDA_ERROR_INVALID_VALUE);
	OK(cuMemUnmap(ptr, BYTES));
	OK(cuMemRelease(handle));
	OK(cuMemAddressFree(ptr, BYTES));
}

static int sockets[2];

static void send_fd(int fd)
{
	char control[CMSG_SPACE(sizeof(int))] = {0}, byte = 'f';
	struct iovec iov = {&byte, 1};
	struct msghdr message = {.msg_iov = &iov,
				 .msg_iovlen = 1,
				 .msg_control = control,
				 .msg_controllen = sizeof(control)};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &fd, sizeof(fd));
	CHECK(sendmsg(sockets[0], &message, 0) == 1);
}

static int receive_fd(void)
{
	char control[CMSG_SPACE(sizeof(int))] = {0}, byte;
	struct iovec iov = {&byte, 1};
	struct msghdr message = {.msg_iov = &iov,
				 .msg_iovlen = 1,
				 .msg_control = control,
				 .msg_controllen = sizeof(control)};
	int fd;

	CHECK(recvmsg(sockets[1], &message, MSG_CMSG_CLOEXEC) == 1);
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
	return fd;
}

static void exporter(int from, int to)
{
	CUmemGenericAllocationHandle handle;
	CUdeviceptr ptr, other;
	int fd;

	start_device(0);
	OK(cuMemAlloc_v2(&other, 6 * MIB));
	ptr = vmm_alloc(BYTES, true, &handle);
	fill(ptr, BYTES, 77, NULL);
	OK(cuCtxSynchronize());
	OK(cuMemExportToShareableHandle(&fd, handle, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0));
	send_fd(fd);
	say(to, 's');
	hear(from);
}

static void test_sharing(struct child *child)
{
	CUmemGenericAllocationHandle handle;
	CUdeviceptr ptr;
	int fd, other;

	CHECK(hear(child->from) == 's');
	fd = receive_fd();
	CHECK(free_memory() == 64 * MIB - BYTES - 6 * MIB);
	RESULT_IS(cuMemImportFromShareableHandle(&handle, (void *)(intptr_t)0,
						 CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR),
		  CUDA_ERROR_INVALID_VALUE);
	OK(cuMemImportFromShareableHandle(&handle, (void *)(intptr_t)fd,
					  CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR));
	RESULT_IS(cuMemExportToShareableHandle(&other, handle,
					       CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0),
		  CUDA_ERROR_INVALID_VALUE);
	OK(cuMemAddressReserve(&ptr, BYTES, 0, 0, 0));
	OK(cuMemMap(ptr, BYTES, 0, handle, 0));
	OK(cuMemSetAccess(ptr, BYTES, &read_write, 1));
	CHECK(checksum(ptr, BYTES) == expected_checksum(BYTES, 77));
	// When the process is killed, its own memory is freed and imported memory remains.
	end_child(child);
	CHECK(free_memory() == 64 * MIB - BYTES);
	CHECK(checksum(ptr, BYTES) == expected_checksum(BYTES, 77));
	OK(cuMemUnmap(ptr, BYTES));
	OK(cuMemRelease(handle));
	CHECK(free_memory() == 64 * MIB - BYTES);
	// The descriptor alone keeps the memory and can be imported again.
	OK(cuMemImportFromShareableHandle(&handle, (void *)(intptr_t)fd,
					  CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR));
	OK(cuMemMap(ptr, BYTES, 0, handle, 0));
	OK(cuMemSetAccess(ptr, BYTES, &read_write, 1));
	CHECK(checksum(ptr, BYTES) == expected_checksum(BYTES, 77));
	OK(cuMemUnmap(ptr, BYTES));
	OK(cuMemRelease(handle));
	OK(cuMemAddressFree(ptr, BYTES));
	close(fd);
	CHECK(free_memory() == 64 * MIB);
}

// Each export is a file of its own, as on hardware, and any of them keeps the memory.
static void test_exports(void)
{
	CUmemGenericAllocationHandle handle, imported;
	CUdeviceptr ptr = vmm_alloc(BYTES, true, &handle), second;
	int fds[2];

	fill(ptr, BYTES, 78, NULL);
	OK(cuCtxSynchronize());
	for (int i = 0; i < 2; i++)
		OK(cuMemExportToShareableHandle(&fds[i], handle,
						CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0));
	CHECK(syscall(SYS_kcmp, getpid(), getpid(), KCMP_FILE, fds[0], fds[1]) > 0);
	OK(cuMemUnmap(ptr, BYTES));
	OK(cuMemRelease(handle));
	close(fds[0]);
	CHECK(free_memory() == 64 * MIB - BYTES);
	OK(cuMemImportFromShareableHandle(&imported, (void *)(intptr_t)fds[1],
					  CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR));
	close(fds[1]);
	OK(cuMemAddressReserve(&second, BYTES, 0, 0, 0));
	OK(cuMemMap(second, BYTES, 0, imported, 0));
	OK(cuMemSetAccess(second, BYTES, &read_write, 1));
	CHECK(checksum(second, BYTES) == expected_checksum(BYTES, 78));
	OK(cuMemUnmap(second, BYTES));
	OK(cuMemRelease(imported));
	CHECK(free_memory() == 64 * MIB);
	OK(cuMemAddressFree(second, BYTES));
	OK(cuMemAddressFree(ptr, BYTES));
}

static void contender(int from, int to)
{
	CUmemGenericAllocationHandle handle;
	CUdeviceptr ptr;

	start_device(0);
	for (int i = 0; i < 50; i++) {
		OK(cuMemAlloc_v2(&ptr, 2 * BYTES));
		OK(cuMemsetD8_v2(ptr, 1, 2 * BYTES));
		OK(cuMemFree_v2(ptr));
		ptr = vmm_alloc(2 * BYTES, true, &handle);
		OK(cuMemRelease(handle));
		OK(cuMemUnmap(ptr, 2 * BYTES));
		OK(cuMemAddressFree(ptr, 2 * BYTES));
	}
	say(to, 'd');
	hear(from);
}

// Eight processes share a device with just enough memory for all, so no allocation may fail.
static void test_contention(void)
{
	struct child children[8];

	for (int i = 0; i < 8; i++)
		children[i] = start_child(contender);
	for (int i = 0; i < 8; i++)
		CHECK(hear(children[i].from) == 'd');
	for (int i = 0; i < 8; i++)
		end_child(&children[i]);
}

// The directory of the devices is removed and made again under a running process. A new file would
// have locks of its own: such a process once looked for free memory without end.
static void vanished(int from, int to)
{
	CUmemAllocationProp prop = plain_prop;
	CUmemGenericAllocationHandle handle;
	char command[PATH_MAX + 16];
	CUresult results[2];
	CUdeviceptr ptr;

	prop.requestedHandleTypes = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
	start_device(0);
	OK(cuMemAlloc_v2(&ptr, BYTES));
	snprintf(command, sizeof(command), "rm -r %s", getenv("SOFTCUDA_DIR"));
	CHECK(!system(command));
	alarm(20);
	// The first would get the beginning of the new file, and so would the second.
	for (int i = 0; i < 2; i++)
		results[i] = cuMemCreate(&handle, BYTES, &prop, 0);
	RESULT_IS(results[0], CUDA_ERROR_OPERATING_SYSTEM);
	RESULT_IS(results[1], CUDA_ERROR_OPERATING_SYSTEM);
	OK(cuMemFree_v2(ptr)); // what it has already is still good
	say(to, 'd');
	hear(from);
}

static void test_vanished_directory(void)
{
	struct child child = start_child(vanished);

	CHECK(hear(child.from) == 'd');
	end_child(&child);
}

int main(void)
{
	struct child child;

	own_devices(1, 64);
	CHECK(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets));
	test_contention();
	test_vanished_directory();
	child = start_child(exporter);
	start_device(0);
	test_sharing(&child);
	test_exports();
	test_life();
	test_read_only();
	CHECK(free_memory() == 64 * MIB);
	return 0;
}
