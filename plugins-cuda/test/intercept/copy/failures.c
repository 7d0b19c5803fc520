// SPDX-License-Identifier: MIT
/*
 * Description: each driver call of a large copy fails once, and host memory is
 * missing or protected. Either the bytes are correct or the result is the
 * driver's own, and all threads end.
 */
#include "test/intercept/copy/copy_test.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define BYTES (9 * MIB + 4)

/* Without the calls that the program under test makes itself, so that only ours fail. */
static const char *const calls[] = {
	"cuPointerGetAttribute", "cuPointerGetAttributes", "cuCtxGetCurrent",
	"cuCtxGetDevice",	 "cuStreamGetCtx",	   "cuEventCreate",
	"cuEventRecord",	 "cuEventSynchronize",	   "cuEventDestroy_v2",
	"cuCtxPushCurrent_v2",	 "cuMemHostRegister_v2",   "cuMemHostUnregister",
	"cuStreamCreate",	 "cuStreamDestroy_v2",	   "cuMemcpyHtoDAsync_v2",
	"cuMemcpyDtoHAsync_v2",
};
#ifdef __SANITIZE_THREAD__ /* it tests only the threads and is ten times slower */
static const int nths[] = {12};
#else
static const int nths[] = {1, 4, 12, 30};
#endif

static void begin(CUdeviceptr *device, CUcontext *ctx)
{
	OK(cuInit(0));
	OK(cuDevicePrimaryCtxRetain(ctx, 0));
	OK(cuCtxSetCurrent(*ctx));
	OK(cuMemAlloc_v2(device, BYTES));
}

static void copies(void)
{
	char *host = malloc(BYTES), *back = malloc(BYTES);
	CUdeviceptr device;
	CUstream stream;
	CUcontext ctx;

	CHECK(host && back);
	begin(&device, &ctx);
	OK(cuStreamCreateWithPriority(&stream, CU_STREAM_NON_BLOCKING, 0));
	for (uint32_t seed = 0; seed < 6; seed++) {
		pattern(host, BYTES, seed);
		OK(cuMemcpyHtoD_v2(device, host, BYTES));
		CHECK(has_pattern((char *)(uintptr_t)device, BYTES, seed));
		pattern(host, BYTES, seed + 10);
		OK(cuMemcpyAsync(device, (CUdeviceptr)(uintptr_t)host, BYTES, stream));
		memset(host, 0, BYTES);
		OK(cuStreamSynchronize(stream));
		memset(back, 0, BYTES);
		OK(cuMemcpyDtoH_v2(back, device, BYTES));
		CHECK(has_pattern(back, BYTES, seed + 10));
	}
	/* The threads end with the context, even if the driver refuses to free their resources. */
	OK(cuDevicePrimaryCtxReset_v2(0));
	copy_threads_told();
	free(host);
	free(back);
}

/* --- missing memory: the driver gets the call, and the result is the same as without us --- */

static char *with_hole(const char *what)
{
	char *at = mmap(NULL, 12 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char path[] = "/tmp/intercept-copy-XXXXXX";
	int fd;

	CHECK(at != MAP_FAILED);
	if (!strcmp(what, "unmapped")) {
		CHECK(!munmap(at + 5 * MIB, 4096));
	} else if (!strcmp(what, "protected")) {
		CHECK(!mprotect(at + 5 * MIB, 4096, PROT_NONE));
	} else if (!strcmp(what, "read-only")) {
		CHECK(!mprotect(at + 5 * MIB, 4096, PROT_READ));
	} else {
		fd = mkstemp(path);
		CHECK(fd >= 0 && !unlink(path) && !ftruncate(fd, 5 * MIB));
		CHECK(mmap(at, 12 * MIB, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) ==
		      at);
		close(fd);
	}
	return at;
}

/* The thread's name tells whether a copying thread has caused the fault itself. */
static void on_fault(int signal)
{
	char comm[16] = "";
	const int fd = open("/proc/thread-self/comm", O_RDONLY);

	(void)!read(fd, comm, sizeof(comm) - 1);
	_exit(strncmp(comm, COPY_COMM, strlen(COPY_COMM)) ? 100 + signal : 99);
}

static void hole(const char *what, bool to_device)
{
	char *good = malloc(BYTES), *at = with_hole(what);
	CUdeviceptr device;
	CUcontext ctx;

	CHECK(good);
	begin(&device, &ctx);
	memset(good, 1, BYTES);
	OK(cuMemcpyHtoD_v2(device, good, BYTES));
	CHECK(copy_threads() > 0);
	signal(SIGSEGV, on_fault);
	signal(SIGBUS, on_fault);
	if (to_device)
		cuMemcpyHtoD_v2(device, at, BYTES);
	else
		cuMemcpyDtoH_v2(at, device, BYTES);
	_exit(98);
}

/* --- children --- */

static int run(const char *rule, const char *what, const char *direction)
{
	char *argv[] = {"intercept_copy_failures", (char *)what, (char *)direction, NULL};
	int status;
	pid_t child = fork();

	CHECK(child >= 0);
	if (!child) {
		setenv("SOFTCUDA_FAIL", rule, 1);
		execv("/proc/self/exe", argv);
		_exit(127);
	}
	CHECK(waitpid(child, &status, 0) == child);
	return status;
}

static void every_call_fails(void)
{
	for (size_t c = 0; c < sizeof(calls) / sizeof(calls[0]); c++)
		for (size_t n = 0; n < sizeof(nths) / sizeof(nths[0]); n++) {
			char rule[128];
			int status;

			/* The same call fails three times in a row, as with a permanent cause. */
			snprintf(rule, sizeof(rule), "%s:%d:2,%s:%d:2,%s:%d:2", calls[c], nths[n],
				 calls[c], nths[n] + 1, calls[c], nths[n] + 2);
			status = run(rule, "copies", NULL);
			if (status)
				fprintf(stderr, "SOFTCUDA_FAIL=%s: status %#x\n", rule, status);
			CHECK(!status);
		}
}

static void holes(void)
{
	static const char *const kinds[] = {"unmapped", "protected", "short", "read-only"};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		for (int to_device = 0; to_device < 2; to_device++) {
			const bool is_fine = to_device && !strcmp(kinds[i], "read-only");
			const int status = run("", kinds[i], to_device ? "to_device" : "to_host");

			/*
			 * A thread of the software driver faults, which raises
			 * a signal that it has blocked.
			 */
			if (is_fine)
				CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 98);
			else
				CHECK(WIFSIGNALED(status) &&
				      (WTERMSIG(status) == SIGSEGV || WTERMSIG(status) == SIGBUS));
		}
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "copies")) {
		copies();
		return 0;
	}
	if (argc == 3 && strncmp(argv[1], "--", 2)) {
		hole(argv[1], !strcmp(argv[2], "to_device"));
		return 1;
	}
	copy_settings();
	if (copy_unsupported())
		return 77;
	test_begin(argc, argv);
	every_call_fails();
	holes();
	return 0;
}
