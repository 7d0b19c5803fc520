// SPDX-License-Identifier: MIT
/*
 * Description: large copies of pageable memory with every entry point, sizes
 * around the threshold and all alignments; which copies are left to the driver;
 * when there are copying threads.
 */
#include "test/intercept/copy/copy_test.h"

#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#define ROOM (24 * MIB)

/* Calls to these names in the program reach the stubs. */
CUresult cuMemcpy_ptds(CUdeviceptr dst, CUdeviceptr src, size_t bytes);
CUresult cuMemcpyAsync_ptsz(CUdeviceptr dst, CUdeviceptr src, size_t bytes, CUstream stream);
CUresult cuMemcpyHtoD_v2_ptds(CUdeviceptr dst, const void *src, size_t bytes);
CUresult cuMemcpyDtoH_v2_ptds(void *dst, CUdeviceptr src, size_t bytes);
CUresult cuMemcpyHtoDAsync_v2_ptsz(CUdeviceptr dst, const void *src, size_t bytes, CUstream stream);
CUresult cuMemcpyDtoHAsync_v2_ptsz(void *dst, CUdeviceptr src, size_t bytes, CUstream stream);

static CUdeviceptr device;
static char *host, *back;
static CUstream stream;

static CUdeviceptr as_device(const void *address)
{
	return (CUdeviceptr)(uintptr_t)address;
}

/* One direction of each pair; the synchronous call checks the other one. */
enum way {
	SYNC,
	SYNC_THREAD,
	EITHER,
	EITHER_THREAD,
	ASYNC,
	ASYNC_DEFAULT,
	ASYNC_THREAD,
	EITHER_ASYNC,
	EITHER_ASYNC_THREAD,
	NR_WAYS
};

static CUresult put(enum way way, CUdeviceptr dst, const char *src, size_t bytes)
{
	switch (way) {
	case SYNC:
		return cuMemcpyHtoD_v2(dst, src, bytes);
	case SYNC_THREAD:
		return cuMemcpyHtoD_v2_ptds(dst, src, bytes);
	case EITHER:
		return cuMemcpy(dst, as_device(src), bytes);
	case EITHER_THREAD:
		return cuMemcpy_ptds(dst, as_device(src), bytes);
	case ASYNC:
		return cuMemcpyHtoDAsync_v2(dst, src, bytes, stream);
	case ASYNC_DEFAULT:
		return cuMemcpyHtoDAsync_v2(dst, src, bytes, NULL);
	case ASYNC_THREAD:
		return cuMemcpyHtoDAsync_v2_ptsz(dst, src, bytes, NULL);
	case EITHER_ASYNC:
		return cuMemcpyAsync(dst, as_device(src), bytes, stream);
	default:
		return cuMemcpyAsync_ptsz(dst, as_device(src), bytes, CU_STREAM_LEGACY);
	}
}

static CUresult get(enum way way, char *dst, CUdeviceptr src, size_t bytes)
{
	switch (way) {
	case SYNC:
		return cuMemcpyDtoH_v2(dst, src, bytes);
	case SYNC_THREAD:
		return cuMemcpyDtoH_v2_ptds(dst, src, bytes);
	case EITHER:
		return cuMemcpy(as_device(dst), src, bytes);
	case EITHER_THREAD:
		return cuMemcpy_ptds(as_device(dst), src, bytes);
	case ASYNC:
		return cuMemcpyDtoHAsync_v2(dst, src, bytes, stream);
	case ASYNC_DEFAULT:
		return cuMemcpyDtoHAsync_v2(dst, src, bytes, NULL);
	case ASYNC_THREAD:
		return cuMemcpyDtoHAsync_v2_ptsz(dst, src, bytes, NULL);
	case EITHER_ASYNC:
		return cuMemcpyAsync(as_device(dst), src, bytes, stream);
	default:
		return cuMemcpyAsync_ptsz(as_device(dst), src, bytes, CU_STREAM_LEGACY);
	}
}

/* Copies to the device and back, and checks that no byte outside the range changes. */
static void round_trip(enum way there, enum way home, size_t at, size_t on_device, size_t bytes,
		       uint32_t seed)
{
	const size_t margin = 64;

	CHECK(at >= margin && on_device >= margin && at + bytes + margin <= ROOM);
	pattern(host + at, bytes, seed);
	OK(cuMemsetD8_v2(device + on_device - margin, 0x5a, bytes + 2 * margin));
	OK(cuCtxSynchronize());
	OK(put(there, device + on_device, host + at, bytes));
	/* The caller may change the source again. */
	memset(host + at, 0, bytes);
	memset(back + at - margin, 0x3c, bytes + 2 * margin);
	OK(cuCtxSynchronize());
	OK(get(home, back + at, device + on_device, bytes));
	CHECK(has_pattern(back + at, bytes, seed));
	for (size_t i = 1; i <= margin; i++) {
		CHECK(back[at - i] == 0x3c && back[at + bytes - 1 + i] == 0x3c);
		CHECK(((char *)(uintptr_t)device)[on_device - i] == 0x5a);
		CHECK(((char *)(uintptr_t)device)[on_device + bytes - 1 + i] == 0x5a);
	}
}

static void found_by(const char *name, const void *plain, const void *per_thread)
{
	void *found = NULL;

	OK(cuGetProcAddress_v2(name, &found, 13000, CU_GET_PROC_ADDRESS_DEFAULT, NULL));
	CHECK(found == plain);
	OK(cuGetProcAddress_v2(name, &found, 13000, CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM,
			       NULL));
	CHECK(found == per_thread);
}

/* The CUDA runtime looks up its calls this way. */
static void looked_up(void)
{
	found_by("cuMemcpy", (void *)cuMemcpy, (void *)cuMemcpy_ptds);
	found_by("cuMemcpyAsync", (void *)cuMemcpyAsync, (void *)cuMemcpyAsync_ptsz);
	found_by("cuMemcpyHtoD", (void *)cuMemcpyHtoD_v2, (void *)cuMemcpyHtoD_v2_ptds);
	found_by("cuMemcpyDtoH", (void *)cuMemcpyDtoH_v2, (void *)cuMemcpyDtoH_v2_ptds);
	found_by("cuMemcpyHtoDAsync", (void *)cuMemcpyHtoDAsync_v2,
		 (void *)cuMemcpyHtoDAsync_v2_ptsz);
	found_by("cuMemcpyDtoHAsync", (void *)cuMemcpyDtoHAsync_v2,
		 (void *)cuMemcpyDtoHAsync_v2_ptsz);
}

static void every_entry_point(void)
{
	cpu_set_t cpus;

	CHECK(!sched_getaffinity(0, sizeof(cpus), &cpus));
	for (int way = 0; way < NR_WAYS; way++) {
		int nr;

		copy_threads_release();
		round_trip(way, SYNC, 4096, 4096, 9 * MIB + 5, way + 1);
		nr = copy_threads();
		CHECK(nr > 0 && nr <= 4 && nr <= CPU_COUNT(&cpus));
		CHECK(copy_buffers() > 0 && copy_buffers() <= nr);
		copy_threads_release();
		pattern(host, 9 * MIB, way);
		OK(cuMemcpyDtoDAsync_v2(device, device + 12 * MIB, 9 * MIB, stream));
		OK(cuStreamSynchronize(stream));
		memset(back, 0, 9 * MIB);
		OK(get(way, back, device, 9 * MIB));
		CHECK(copy_threads() > 0);
		CHECK(!memcmp(back, (void *)(uintptr_t)device, 9 * MIB));
		round_trip(SYNC, way, 4096, 4096, 9 * MIB + 5, way + 100);
	}
}

static void sizes_and_alignments(void)
{
	static const size_t sizes[] = {MIB - 1,	    MIB,	 MIB + 1,	    MIB + 65,
				       3 * MIB - 1, 4 * MIB + 1, 8 * MIB + 4097,    17 * MIB + 3,
				       2 * MIB,	    1,		 256 * 1024 * 5 - 1};
	static const size_t places[] = {64, 65, 127, 4095 + 64, 4096, 8191};
	uint32_t seed = 1;

	for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++)
		for (size_t a = 0; a < sizeof(places) / sizeof(places[0]); a++) {
			const size_t d = (a * 5 + s) % (sizeof(places) / sizeof(places[0]));

			round_trip(seed % NR_WAYS, (seed / 2) % NR_WAYS, places[a], places[d],
				   sizes[s], seed);
			seed++;
		}
}

/* Host memory whose pages do not exist yet, or are those of a file. */
static void kinds_of_memory(void)
{
	const size_t bytes = 9 * MIB + 1;
	const int fd = memfd_create("copy", MFD_CLOEXEC);
	char *fresh, *file;

	CHECK(fd >= 0 && !ftruncate(fd, 10 * MIB));
	file = mmap(NULL, 10 * MIB, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	fresh = mmap(NULL, 10 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(file != MAP_FAILED && fresh != MAP_FAILED);
	OK(cuMemsetD8_v2(device, 1, ROOM));
	/* Copies from untouched memory, which is zero, and then to untouched memory. */
	OK(cuMemcpyHtoD_v2(device + 1, fresh + 3, bytes));
	OK(cuMemcpyDtoH_v2(back, device, bytes + 2));
	CHECK(back[0] == 1 && back[bytes + 1] == 1);
	for (size_t i = 1; i <= bytes; i++)
		CHECK(!back[i]);
	pattern(host, bytes, 200);
	OK(cuMemcpyHtoD_v2(device, host, bytes));
	CHECK(!munmap(fresh + 4 * MIB, 4 * MIB));
	CHECK(mmap(fresh + 4 * MIB, 4 * MIB, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED);
	OK(cuMemcpyDtoH_v2(fresh, device, bytes));
	CHECK(has_pattern(fresh, bytes, 200));
	/* A mapped file to the device, and back through another mapping of it. */
	OK(cuMemcpyDtoH_v2(file + 5, device, bytes));
	CHECK(pread(fd, back, bytes, 5) == (ssize_t)bytes && has_pattern(back, bytes, 200));
	OK(cuMemsetD8_v2(device, 1, bytes));
	OK(cuMemcpyHtoD_v2(device, file + 5, bytes));
	OK(cuMemcpyDtoH_v2(back, device, bytes));
	CHECK(has_pattern(back, bytes, 200));
	CHECK(copy_threads() > 0);
	munmap(file, 10 * MIB);
	munmap(fresh, 10 * MIB);
	close(fd);
}

/* None of these copies is ours, so afterwards there are no threads. */
static void left_to_the_driver(void)
{
	CUdeviceptr other, found;
	CUcontext own;
	void *pinned;

	copy_threads_release();
	OK(cuMemHostAlloc(&pinned, 16 * MIB, 0));
	pattern(pinned, 16 * MIB, 7);
	OK(cuMemcpyHtoD_v2(device, pinned, 16 * MIB));
	memset(pinned, 0, 16 * MIB);
	OK(cuMemcpyDtoHAsync_v2(pinned, device, 16 * MIB, stream));
	OK(cuStreamSynchronize(stream));
	CHECK(has_pattern(pinned, 16 * MIB, 7));
	OK(cuMemFreeHost(pinned));

	OK(cuMemHostRegister_v2(host, 16 * MIB, 0));
	pattern(host, 16 * MIB, 8);
	OK(cuMemcpyHtoD_v2(device, host, 16 * MIB));
	OK(cuMemHostUnregister(host));

	OK(cuMemcpyDtoD_v2(device + 12 * MIB, device, 10 * MIB));
	OK(cuMemcpy(device + 12 * MIB, device, 10 * MIB));
	for (int i = 0; i < 20; i++)
		OK(cuMemcpyDtoH_v2(back, device, MIB - 1));
	CHECK(has_pattern(back, MIB - 4, 8));

	/* Memory of a device that is not current. */
	OK(cuCtxSetCurrent(test_context(1)));
	OK(cuMemAlloc_v2(&other, 16 * MIB));
	OK(cuCtxSetCurrent(test_context(0)));
	OK(cuMemcpyHtoD_v2(other, host, 16 * MIB));
	memset(back, 0, 16 * MIB);
	OK(cuMemcpyDtoH_v2(back, other, 16 * MIB));
	CHECK(has_pattern(back, 16 * MIB, 8));
	/* A stream of a context that is not current. */
	OK(cuCtxCreate_v2(&own, 0, 0));
	OK(cuMemcpyHtoDAsync_v2(device, host, 16 * MIB, stream));
	OK(cuStreamSynchronize(stream));
	OK(cuCtxDestroy_v2(own));
	OK(cuCtxSetCurrent(test_context(0)));
	OK(cuMemFree_v2(other));

	/* Refused as without us, and nothing is written. */
	memset(back, 0, 16 * MIB);
	OK(cuMemsetD8_v2(device, 1, ROOM));
	OK(cuCtxSynchronize());
	OK(cuMemGetAddressRange_v2(&found, NULL, device));
	FAILS(cuMemcpyHtoD_v2(device + ROOM - MIB, host, 64 * MIB), CUDA_ERROR_INVALID_VALUE);
	FAILS(cuMemcpyDtoH_v2(back, device + ROOM - MIB, 64 * MIB), CUDA_ERROR_INVALID_VALUE);
	CHECK(!back[0] && ((char *)(uintptr_t)device)[ROOM - MIB] == 1);
	CHECK(!copy_threads());
}

/* The threads end with their context. The next context gets new ones. */
static void contexts_end(void)
{
	for (int i = 0; i < 3; i++) {
		CUdeviceptr at;
		CUcontext own;

		OK(cuCtxCreate_v2(&own, 0, i % 2));
		OK(cuMemAlloc_v2(&at, 12 * MIB));
		pattern(host, 12 * MIB, 30 + i);
		OK(cuMemcpyHtoD_v2(at, host, 12 * MIB));
		OK(cuMemcpyDtoH_v2(back, at, 12 * MIB));
		CHECK(has_pattern(back, 12 * MIB, 30 + i));
		CHECK(copy_threads() > 0);
		OK(cuCtxDestroy_v2(own));
		copy_threads_told();
		OK(cuCtxSetCurrent(test_context(0)));
	}
}

int main(int argc, char **argv)
{
	setenv("SOFTCUDA_DEVICES", "2", 1);
	copy_settings();
	if (copy_unsupported())
		return 77;
	test_begin(argc, argv);
	test_cuda_begin();
	OK(cuMemAlloc_v2(&device, ROOM));
	OK(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
	host = malloc(ROOM);
	back = malloc(ROOM);
	CHECK(host && back);
	memset(host, 1, ROOM);

	/* There are no threads in a program that copies little. */
	OK(cuMemcpyHtoD_v2(device, host, 7 * MIB));
	CHECK(!copy_threads());
	looked_up();
	every_entry_point();
	sizes_and_alignments();
	kinds_of_memory();
	left_to_the_driver();
	contexts_end();

	/* Idle threads end by themselves. */
	round_trip(SYNC, SYNC, 4096, 4096, 16 * MIB, 99);
	CHECK(copy_threads() > 0);
	copy_threads_gone();
	round_trip(ASYNC, ASYNC, 4096, 4096, 16 * MIB, 100);
	free(host);
	free(back);
	return 0;
}
