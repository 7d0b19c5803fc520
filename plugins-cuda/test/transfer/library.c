// SPDX-License-Identifier: MIT
/* libcuda_transfer.so as a foreign-function caller uses it: by dlopen, with plain values. */
#include <dlfcn.h>
#include <errno.h>
#include <unistd.h>

#include "test/image/image_test.h"
#include "transfer/library.h"

static struct {
	typeof(cuda_parallel_session_open) *open;
	typeof(cuda_parallel_session_close) *close;
	typeof(cuda_parallel_session_allocate) *allocate;
	typeof(cuda_parallel_session_free) *free;
	typeof(cuda_parallel_session_copy) *copy;
	typeof(cuda_parallel_session_dump) *dump;
	typeof(cuda_parallel_session_load) *load;
	typeof(cuda_parallel_image_verify) *verify;
} library;

static void open_library(const char *path)
{
	void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);

	if (!handle)
		fprintf(stderr, "%s\n", dlerror());
	CHECK(handle);
#define LOAD(member, name) CHECK((*(void **)&library.member = dlsym(handle, #name)))
	LOAD(open, cuda_parallel_session_open);
	LOAD(close, cuda_parallel_session_close);
	LOAD(allocate, cuda_parallel_session_allocate);
	LOAD(free, cuda_parallel_session_free);
	LOAD(copy, cuda_parallel_session_copy);
	LOAD(dump, cuda_parallel_session_dump);
	LOAD(load, cuda_parallel_session_load);
	LOAD(verify, cuda_parallel_image_verify);
	CHECK(dlsym(handle, "cuda_parallel_restore_memory"));
	CHECK(dlsym(handle, "cuda_parallel_config_from_env"));
	CHECK(!dlsym(handle, "ccr_image_open"));
}

static void round_trip(struct cuda_parallel_session *session)
{
	const uint64_t sizes[2] = {3 * MIB, 2 * MIB + 5};
	unsigned char *data = malloc(3 * MIB), *back = malloc(3 * MIB);
	const char *dir = image_directory_path(), byte = 1;
	uint64_t addresses[2];
	double seconds = 0;

	CHECK(data && back);
	for (int i = 0; i < 2; i++) {
		CHECK(!library.allocate(session, sizes[i], &addresses[i], image_error, 512));
		image_pattern(data, sizes[i], i);
		CHECK(!library.copy(session, addresses[i], data, sizes[i], 1, NULL, image_error,
				    512));
	}
	CHECK(!library.dump(session, dir, 9, addresses, sizes, 2, &seconds, image_error, 512));
	CHECK(seconds > 0 && !library.verify(dir, 9, 2, image_error, 512));
	memset(data, 0, sizes[1]);
	CHECK(!library.copy(session, addresses[1], data, sizes[1], 1, NULL, image_error, 512));
	CHECK(!library.load(session, dir, 9, addresses, sizes, 2, &seconds, image_error, 512));
	CHECK(!library.copy(session, addresses[1], back, sizes[1], 0, &seconds, image_error, 512));
	image_pattern(data, sizes[1], 1);
	CHECK(!memcmp(data, back, sizes[1]));
	image_patch("cuda-9-0.img", 4, &byte, 1);
	CHECK(library.verify(dir, 9, 2, image_error, 512) == -EBADMSG);
	CHECK(library.load(session, dir, 9, addresses, sizes, 2, NULL, image_error, 512) ==
	      -EBADMSG);
	SAYS(image_error, "cuda-9-0.img", "xxh3");
	CHECK(library.load(session, dir, 10, addresses, sizes, 2, NULL, image_error, 512) ==
	      -ENOENT);
	CHECK(library.load(session, "/nowhere", 9, addresses, sizes, 2, NULL, image_error, 512) ==
	      -ENOENT);
	SAYS(image_error, "/nowhere", "");
	CHECK(!library.free(session, addresses[0], image_error, 512));
	CHECK(library.free(session, addresses[0], image_error, 512) == -EIO);
	free(data);
	free(back);
}

int main(int argc, char **argv)
{
	const char *driver = getenv("CRIU_CUDA_DRIVER");
	struct cuda_parallel_session *session;

	if (argc != 2 || !driver || access(driver, R_OK)) {
		printf("skipped: CRIU_CUDA_DRIVER names no software driver\n");
		return SKIP;
	}
	close(image_directory());
	setenv("SOFTCUDA_DIR", image_directory_path(), 1);
	open_library(argv[1]);
	CHECK(library.open(&session, "/nowhere/libcuda.so.1", 0, 1, 1, 1, 0, image_error, 512) ==
	      -ENOENT);
	CHECK(library.open(&session, NULL, 0, 77, 1, 1, 0, image_error, 512) == -EINVAL);
	CHECK(library.open(&session, NULL, 5, 1, 1, 1, 0, image_error, 512) == -ENODEV);
	CHECK(!library.open(&session, NULL, 0, 2, 1, -1, -1, image_error, 512));
	round_trip(session);
	library.close(session);
	return 0;
}
