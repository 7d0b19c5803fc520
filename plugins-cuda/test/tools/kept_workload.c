// SPDX-License-Identifier: MIT
/*
 * The program in the checkpoints that scripts/keep-image.mjs makes. Its device
 * memory compresses well, because the checkpoints are in the repository. It
 * creates the file that is its argument when it is ready, and waits.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/driver/cuda_error.h"
#include "common/driver/driver.h"
#include "common/driver/driver_calls.h"

#define BYTES (2u << 20)

static void ok(CUresult result, const char *call)
{
	if (result == CUDA_SUCCESS)
		return;
	fprintf(stderr, "kept-workload: %s: %s\n", call, ccr_cuda_error_name(result));
	exit(1);
}

int main(int argc, char **argv)
{
	const char *path = getenv("CRIU_CUDA_DRIVER");
	struct ccr_driver driver;
	struct ccr_cuda cuda;
	CUdeviceptr memory;
	char error[256];
	CUcontext ctx;
	int fd;

	if (argc != 2)
		return 2;
	if (ccr_driver_open(&driver, path ? path : "", error, sizeof(error)) ||
	    ccr_cuda_load(&cuda, &driver, error, sizeof(error))) {
		fprintf(stderr, "kept-workload: %s\n", error);
		return 1;
	}
	ok(cuda.cuInit(0), "cuInit");
	ok(cuda.cuDevicePrimaryCtxRetain(&ctx, 0), "cuDevicePrimaryCtxRetain");
	ok(cuda.cuCtxSetCurrent(ctx), "cuCtxSetCurrent");
	ok(cuda.cuMemAlloc_v2(&memory, BYTES), "cuMemAlloc");
	ok(cuda.cuMemsetD8_v2(memory, 0x5a, BYTES), "cuMemsetD8");
	ok(cuda.cuMemsetD8_v2(memory + BYTES / 4, 0xa5, BYTES / 8), "cuMemsetD8");
	ok(cuda.cuCtxSynchronize(), "cuCtxSynchronize");
	fd = open(argv[1], O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0) {
		perror(argv[1]);
		return 1;
	}
	close(fd);
	for (;;)
		pause();
}
