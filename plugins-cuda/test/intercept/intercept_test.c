// SPDX-License-Identifier: MIT
/* See intercept_test.h. */
#include "test/intercept/intercept_test.h"
#include "test/intercept/connect.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <spawn.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static struct {
	char dir[64], run_dir[96];
	pid_t owner, pool;
	int requests, replies;
	uint32_t next_operation;
	CUcontext contexts[CCR_MAX_DEVICES];
} test;

union fd_room {
	struct cmsghdr head;
	char room[CMSG_SPACE(sizeof(int))];
};

void check_result(CUresult result, CUresult expected, const char *call, const char *file, int line)
{
	if (result == expected)
		return;
	fprintf(stderr, "%s:%d: %s: %s, not %s\n", file, line, call, ccr_cuda_error_name(result),
		ccr_cuda_error_name(expected));
	exit(1);
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *at)
{
	return remove(path);
}

static void clean_up(void)
{
	int status;

	if (getpid() != test.owner)
		return;
	close(test.requests);
	if (test.pool > 0 && (waitpid(test.pool, &status, 0) != test.pool || status))
		fprintf(stderr, "the pool process ended with %#x\n", status);
	nftw(test.dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static void start_pool(const char *program)
{
	int requests[2], replies[2];
	char in[16], out[16], *argv[] = {(char *)program, "--pool", in, out, NULL};
	char before[2 * PATH_MAX], runtime[2 * PATH_MAX];
	const char *preload = getenv("LD_PRELOAD");

	CHECK(!socketpair(AF_UNIX, SOCK_SEQPACKET, 0, requests) && !pipe2(replies, 0));
	CHECK(!fcntl(requests[1], F_SETFD, FD_CLOEXEC) && !fcntl(replies[0], F_SETFD, FD_CLOEXEC));
	snprintf(in, sizeof(in), "%d", requests[0]);
	snprintf(out, sizeof(out), "%d", replies[1]);
	CHECK(!preload || strlen(preload) < sizeof(before));
	strcpy(before, preload ? preload : "");
	/* Removes the interceptor, which is last in the list, but keeps a sanitizer's runtime. */
	strcpy(runtime, before);
	if (strchr(runtime, ':'))
		*strchr(runtime, ':') = '\0';
	else
		*runtime = '\0';
	setenv("LD_PRELOAD", runtime, 1);
	CHECK(!posix_spawn(&test.pool, "/proc/self/exe", NULL, NULL, argv, environ));
	setenv("LD_PRELOAD", before, 1);
	close(requests[0]);
	close(replies[1]);
	test.requests = requests[1];
	test.replies = replies[0];
}

void test_begin(int argc, char **argv)
{
	char softcuda_dir[96];

	if (argc == 4 && !strcmp(argv[1], "--pool"))
		pool_main(atoi(argv[2]), atoi(argv[3]));
	if (!getenv("LD_PRELOAD")) {
		fprintf(stderr, "start this test with LD_PRELOAD=libcuda_intercept.so\n");
		exit(77);
	}
	snprintf(test.dir, sizeof(test.dir), "/dev/shm/ccr-intercept-XXXXXX");
	CHECK(mkdtemp(test.dir));
	test.owner = getpid();
	snprintf(test.run_dir, sizeof(test.run_dir), "%s/run", test.dir);
	snprintf(softcuda_dir, sizeof(softcuda_dir), "%s/devices", test.dir);
	CHECK(!mkdir(test.run_dir, 0700));
	setenv("CRIU_CUDA_RUN_DIR", test.run_dir, 1);
	setenv("SOFTCUDA_DIR", softcuda_dir, 1);
	atexit(clean_up);
	start_pool(argv[0]);
}

void test_cuda_begin(void)
{
	int nr_devices;

	OK(cuInit(0));
	OK(cuDeviceGetCount(&nr_devices));
	for (int i = 0; i < nr_devices; i++)
		OK(cuDevicePrimaryCtxRetain(&test.contexts[i], i));
	OK(cuCtxSetCurrent(test.contexts[0]));
}

CUcontext test_context(int device)
{
	return test.contexts[device];
}

void send_request(int socket, const struct pool_request *request, int fd)
{
	struct iovec iov = {(void *)request, sizeof(*request)};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	union fd_room control = {.head = {.cmsg_len = CMSG_LEN(sizeof(int)),
					  .cmsg_level = SOL_SOCKET,
					  .cmsg_type = SCM_RIGHTS}};

	if (fd >= 0) {
		memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
		msg.msg_control = &control;
		msg.msg_controllen = sizeof(control);
	}
	CHECK(sendmsg(socket, &msg, MSG_NOSIGNAL) == sizeof(*request));
}

bool receive_request(int socket, struct pool_request *request, int *fd)
{
	struct iovec iov = {request, sizeof(*request)};
	union fd_room control;
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = &control,
			     .msg_controllen = sizeof(control)};

	if (recvmsg(socket, &msg, MSG_CMSG_CLOEXEC) != sizeof(*request))
		return false;
	*fd = -1;
	if (msg.msg_controllen >= CMSG_LEN(sizeof(int)))
		memcpy(fd, CMSG_DATA(&control.head), sizeof(*fd));
	return true;
}

static struct pool_reply ask(const struct pool_request *request, int fd)
{
	struct pool_reply reply;

	send_request(test.requests, request, fd);
	if (fd >= 0)
		close(fd);
	CHECK(read(test.replies, &reply, sizeof(reply)) == sizeof(reply));
	return reply;
}

static struct pool_reply converse(struct pool_request *request)
{
	const int connection = connect_service();

	CHECK(connection >= 0);
	request->operation = ++test.next_operation;
	return ask(request, connection);
}

struct pool_reply pool_evict(uint32_t timeout_ms, enum pool_break stop)
{
	struct pool_request request = {.what = POOL_EVICT, .timeout_ms = timeout_ms, .stop = stop};
	struct ccr_mailbox mailbox;

	CHECK(!ccr_mailbox_read(getpid(), &mailbox, NULL));
	request.is_group = mailbox.kept_imports || mailbox.kept_exports;
	return converse(&request);
}

struct pool_reply pool_attach(enum ccr_attach_mode mode, enum pool_source source,
			      enum pool_break stop)
{
	struct pool_request request = {
		.what = POOL_ATTACH, .mode = mode, .source = source, .stop = stop};

	return converse(&request);
}

void pool_commit(void)
{
	const struct pool_request request = {.what = POOL_COMMIT};

	CHECK(!ask(&request, -1).error);
}

uint64_t pool_free_bytes(void)
{
	const struct pool_request request = {.what = POOL_FREE_BYTES};

	return ask(&request, -1).free_bytes;
}

static uint32_t word(uint32_t seed, size_t i)
{
	uint32_t x = seed * 2654435761u + (uint32_t)i * 0x9e3779b9u;

	return x ^ (x >> 15);
}

void fill(CUdeviceptr at, size_t bytes, uint32_t seed)
{
	uint32_t *host = malloc(bytes);

	CHECK(host);
	for (size_t i = 0; i < bytes / 4; i++)
		host[i] = word(seed, i);
	OK(cuMemcpyHtoD_v2(at, host, bytes));
	free(host);
}

bool holds(CUdeviceptr at, size_t bytes, uint32_t seed)
{
	uint32_t *host = malloc(bytes);
	bool same = true;

	CHECK(host);
	OK(cuMemcpyDtoH_v2(host, at, bytes));
	for (size_t i = 0; i < bytes / 4 && same; i++)
		same = host[i] == word(seed, i);
	free(host);
	return same;
}

static bool is_service(const char *comm)
{
	return !strcmp(comm, CCR_SERVICE_COMM "\n") || !strcmp(comm, CCR_SERVICE_COMM_GATED "\n");
}

pid_t service_tid(pid_t pid)
{
	char path[64], comm[32];
	struct dirent *entry;
	pid_t found = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	CHECK(dir);
	while ((entry = readdir(dir))) {
		FILE *file;

		snprintf(path, sizeof(path), "/proc/%d/task/%.16s/comm", pid, entry->d_name);
		file = fopen(path, "re");
		if (!file)
			continue;
		if (fgets(comm, sizeof(comm), file) && is_service(comm)) {
			CHECK(!found);
			found = atoi(entry->d_name);
		}
		fclose(file);
	}
	closedir(dir);
	return found;
}

bool is_shown_gated(void)
{
	char path[64], comm[32] = "";
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/task/%d/comm", service_tid(getpid()));
	file = fopen(path, "re");
	CHECK(file && fgets(comm, sizeof(comm), file));
	fclose(file);
	return !strcmp(comm, CCR_SERVICE_COMM_GATED "\n");
}
