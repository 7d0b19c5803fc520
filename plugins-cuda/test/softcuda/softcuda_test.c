// SPDX-License-Identifier: MIT
#include "test/softcuda/softcuda_test.h"

#include <limits.h>

static char device_dir[PATH_MAX];
static pid_t device_owner;

static void remove_devices(void)
{
	struct dirent *entry;
	DIR *dir;

	if (getpid() != device_owner || !(dir = opendir(device_dir)))
		return;
	while ((entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			unlinkat(dirfd(dir), entry->d_name, 0);
	closedir(dir);
	rmdir(device_dir);
}

void own_devices(int count, int megabytes)
{
	char number[16];

	snprintf(device_dir, sizeof(device_dir), "/dev/shm/softcuda-test-XXXXXX");
	CHECK(mkdtemp(device_dir));
	device_owner = getpid();
	atexit(remove_devices);
	CHECK(!setenv("SOFTCUDA_DIR", device_dir, 1));
	snprintf(number, sizeof(number), "%d", count);
	CHECK(!setenv("SOFTCUDA_DEVICES", number, 1));
	snprintf(number, sizeof(number), "%d", megabytes);
	CHECK(!setenv("SOFTCUDA_MEMORY_MB", number, 1));
}

CUcontext start_device(int ordinal)
{
	CUcontext ctx;

	OK(cuInit(0));
	OK(cuDevicePrimaryCtxRetain(&ctx, ordinal));
	OK(cuCtxSetCurrent(ctx));
	return ctx;
}

size_t free_memory(void)
{
	size_t free_bytes, total;

	OK(cuMemGetInfo_v2(&free_bytes, &total));
	return free_bytes;
}

CUfunction kernel(const char *name)
{
	CUfunction function;
	CUmodule module;

	OK(cuModuleLoadData(&module, TEST_PTX));
	OK(cuModuleGetFunction(&function, module, name));
	return function;
}

void fill(CUdeviceptr ptr, size_t bytes, uint64_t key, CUstream stream)
{
	uint64_t words = bytes / 8, first = 0;
	void *params[] = {&ptr, &words, &first, &key};

	OK(cuLaunchKernel(kernel("ccr_fill_u64"), 4, 1, 1, 32, 1, 1, 0, stream, params, NULL));
}

uint64_t checksum(CUdeviceptr ptr, size_t bytes)
{
	uint64_t words = bytes / 8, first = 0, sum;
	CUdeviceptr out;
	void *params[] = {&ptr, &words, &first, &out};

	OK(cuMemAlloc_v2(&out, 8));
	OK(cuMemsetD8_v2(out, 0, 8));
	OK(cuLaunchKernel(kernel("ccr_checksum_u64"), 4, 1, 1, 32, 1, 1, 0, NULL, params, NULL));
	OK(cuMemcpyDtoH_v2(&sum, out, 8));
	OK(cuMemFree_v2(out));
	return sum;
}

uint64_t expected_checksum(size_t bytes, uint64_t key)
{
	uint64_t *words = malloc(bytes), sum;

	CHECK(words);
	ccr_pattern_fill(words, bytes / 8, 0, key);
	sum = ccr_pattern_checksum(words, bytes / 8, 0);
	free(words);
	return sum;
}

CUdeviceptr vmm_alloc(size_t bytes, bool exportable, CUmemGenericAllocationHandle *handle)
{
	CUmemAllocationProp prop = {.type = CU_MEM_ALLOCATION_TYPE_PINNED,
				    .location = {CU_MEM_LOCATION_TYPE_DEVICE, 0}};
	CUmemAccessDesc access = {prop.location, CU_MEM_ACCESS_FLAGS_PROT_READWRITE};
	CUdeviceptr ptr;

	if (exportable)
		prop.requestedHandleTypes = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
	OK(cuMemAddressReserve(&ptr, bytes, 0, 0, 0));
	OK(cuMemCreate(handle, bytes, &prop, 0));
	OK(cuMemMap(ptr, bytes, 0, *handle, 0));
	OK(cuMemSetAccess(ptr, bytes, &access, 1));
	return ptr;
}

struct child start_child(void (*body)(int from, int to))
{
	int down[2], up[2];
	struct child child;

	CHECK(!pipe(down) && !pipe(up));
	fflush(NULL);
	child.pid = fork();
	CHECK(child.pid >= 0);
	if (!child.pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(down[1]);
		close(up[0]);
		body(down[0], up[1]);
		_exit(0);
	}
	close(down[0]);
	close(up[1]);
	child.to = down[1];
	child.from = up[0];
	return child;
}

void say(int fd, char byte)
{
	CHECK(write(fd, &byte, 1) == 1);
}

char hear(int fd)
{
	char byte = 0;
	ssize_t n;

	do
		n = read(fd, &byte, 1);
	while (n < 0 && errno == EINTR);
	return n == 1 ? byte : 0;
}

char ask(const struct child *child, char command)
{
	say(child->to, command);
	return hear(child->from);
}

void end_child(struct child *child)
{
	CHECK(!kill(child->pid, SIGKILL));
	CHECK(waitpid(child->pid, NULL, 0) == child->pid);
	close(child->to);
	close(child->from);
}

CUprocessState state_of(pid_t pid)
{
	CUprocessState state;

	OK(cuCheckpointProcessGetState(pid, &state));
	return state;
}

void in_own_process(void (*test)(void))
{
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		test();
		_exit(0);
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}
