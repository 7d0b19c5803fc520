// SPDX-License-Identifier: MIT
// A real `criu dump` and `criu restore` of a checkpointed process, without a plugin. CRIU must be
// able to dump everything that the driver leaves in a process.
#include "test/softcuda/softcuda_test.h"

#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define BYTES (8 * MIB)
#define KEY   31337u

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

static const char *criu;

static int run(const char *const *argv)
{
	pid_t pid = fork();
	int status;

	CHECK(pid >= 0);
	if (!pid) {
		int null = open("/dev/null", O_RDWR);

		dup2(null, 0);
		dup2(null, 1);
		dup2(null, 2);
		execvp(argv[0], (char *const *)argv);
		_exit(127);
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

static bool find_criu(void)
{
	const char *version[] = {NULL, "--version", NULL}, *check[] = {NULL, "check", NULL};
	char command[PATH_MAX + 20], line[100] = "";
	int major = 0;
	FILE *pipe;

	criu = getenv("CCR_TEST_CRIU") ? getenv("CCR_TEST_CRIU") : "criu";
	version[0] = check[0] = criu;
	if (run(version))
		return false;
	snprintf(command, sizeof(command), "'%s' --version", criu);
	CHECK((pipe = popen(command, "re")));
	if (!fgets(line, sizeof(line), pipe) || sscanf(line, "Version: %d", &major) != 1)
		major = 0;
	pclose(pipe);
	return major >= 4 && !run(check);
}

static void *busy(void *arg)
{
	CUdeviceptr ptr;

	start_device(0);
	for (;;) {
		OK(cuMemAlloc_v2(&ptr, 64 * 1024));
		fill(ptr, 64 * 1024, 1, CU_STREAM_PER_THREAD);
		OK(cuStreamSynchronize(CU_STREAM_PER_THREAD));
		OK(cuMemFree_v2(ptr));
	}
	return NULL;
}

static void verify(CUdeviceptr plain, CUdeviceptr vmm, CUdeviceptr bare, const char *pinned)
{
	CHECK(checksum(plain, BYTES) == expected_checksum(BYTES, KEY));
	CHECK(checksum(vmm, BYTES) == expected_checksum(BYTES, KEY + 1));
	CHECK(pinned[0] == 0x66 && pinned[99999] == 0x66);
	OK(cuMemFree_v2(plain));
	OK(cuMemAddressFree(bare, 256 * MIB));
}

// On SIGUSR1 the process verifies its memory and exits with the result.
static void target(int ready)
{
	CUmemGenericAllocationHandle handle;
	CUdeviceptr plain, vmm, bare, mapped;
	pthread_t thread;
	sigset_t signals;
	char *pinned;
	int sig;

	CHECK(setsid() > 0);
	sigemptyset(&signals);
	sigaddset(&signals, SIGUSR1);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	start_device(0);
	OK(cuMemAlloc_v2(&plain, BYTES));
	vmm = vmm_alloc(BYTES, true, &handle);
	OK(cuMemAddressReserve(&bare, 256 * MIB, 0, 0, 0));
	OK(cuMemHostAlloc((void **)&pinned, 100000, 0));
	OK(cuMemHostGetDevicePointer_v2(&mapped, pinned, 0));
	OK(cuMemsetD8_v2(mapped, 0x66, 100000));
	fill(plain, BYTES, KEY, NULL);
	fill(vmm, BYTES, KEY + 1, NULL);
	OK(cuCtxSynchronize());
	CHECK(!pthread_create(&thread, NULL, busy, NULL));
	say(ready, 'r');
	close(ready);
	CHECK(!sigwait(&signals, &sig));
	verify(plain, vmm, bare, pinned);
	_exit(0);
}

static pid_t start_target(void)
{
	int ready[2], null;
	pid_t pid;

	CHECK(!pipe(ready));
	pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		close(ready[0]);
		null = open("/dev/null", O_RDWR);
		for (int fd = 0; fd < 3; fd++)
			dup2(null, fd);
		close(null);
		target(ready[1]);
	}
	close(ready[1]);
	CHECK(hear(ready[0]) == 'r' && hear(ready[0]) == 0);
	close(ready[0]);
	return pid;
}

static void show_log(const char *dir, const char *name)
{
	char command[PATH_MAX + 60];

	snprintf(command, sizeof(command), "grep -E 'Error|Warn' '%s/%s' | tail -20 >&2", dir,
		 name);
	if (system(command))
		fprintf(stderr, "no log in %s\n", dir);
}

static void criu_step(const char *const *argv, const char *dir, const char *log)
{
	int rc = run(argv);

	if (rc)
		show_log(dir, log);
	CHECK(rc == 0);
}

int main(void)
{
	char dir[] = "/tmp/softcuda-criu-XXXXXX", pid_text[16], command[100];
	int tid, again, status;
	pid_t pid;

	if (SANITIZED || geteuid() || !find_criu()) {
		printf("skipped: %s\n", SANITIZED   ? "criu cannot dump a sanitized program"
					: geteuid() ? "not root"
						    : "no CRIU 4.0 or newer found");
		return SKIP;
	}
	/*
	 * Close the log of ctest: other tests write to it, and CRIU refuses a
	 * file whose size changed.
	 */
	syscall(SYS_close_range, 3, ~0U, 0);
	own_devices(1, 64);
	CHECK(mkdtemp(dir));
	CHECK(!prctl(PR_SET_CHILD_SUBREAPER, 1));
	pid = start_target();
	OK(cuCheckpointProcessGetRestoreThreadId(pid, &tid));
	snprintf(pid_text, sizeof(pid_text), "%d", pid);
	// As on hardware, a process that still has its device open cannot be dumped and keeps
	// running.
	CHECK(run((const char *[]){criu, "dump", "-t", pid_text, "-D", dir, "-o", "refused.log",
				   NULL}));
	CHECK(state_of(pid) == CU_PROCESS_STATE_RUNNING);
	OK(cuCheckpointProcessLock(pid, NULL));
	OK(cuCheckpointProcessCheckpoint(pid, NULL));
	criu_step((const char *[]){criu, "dump", "-t", pid_text, "-D", dir, "-v4", "-o", "dump.log",
				   NULL},
		  dir, "dump.log");
	CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status));
	// Restore twice from one image.
	for (int round = 0; round < 2; round++) {
		criu_step((const char *[]){criu, "restore", "-d", "-D", dir, "-v4", "-o",
					   "restore.log", NULL},
			  dir, "restore.log");
		CHECK(state_of(pid) == CU_PROCESS_STATE_CHECKPOINTED);
		OK(cuCheckpointProcessGetRestoreThreadId(pid, &again));
		CHECK(again == tid);
		OK(cuCheckpointProcessRestore(pid, NULL));
		OK(cuCheckpointProcessUnlock(pid, NULL));
		CHECK(!kill(pid, SIGUSR1));
		CHECK(waitpid(pid, &status, 0) == pid);
		CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	}
	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	return system(command) ? 1 : 0;
}
