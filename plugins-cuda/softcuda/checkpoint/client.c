// SPDX-License-Identifier: MIT
// cuCheckpointProcess*: the caller's side, in criu or a command line tool. Works without cuInit, in
// any thread, across pid and mount namespaces. Leaves no open descriptor and no thread.
#include "softcuda/impl.h"
#include "softcuda/checkpoint/client.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "common/process.h"

struct channel {
	int pidfd, request, reply, pending;
};

static CUresult read_control(int pid, struct ccr_control *control)
{
	struct iovec local = {control, sizeof(*control)};
	struct iovec remote = {(void *)CCR_VA_CONTROL, sizeof(*control)};
	ssize_t n;

	if (pid <= 0)
		return CCR_RESULT_NO_PROCESS;
	n = process_vm_readv(pid, &local, 1, &remote, 1, 0);
	if (n < 0 && errno == ESRCH)
		return CCR_RESULT_NO_PROCESS;
	if (n < 0 && errno == EPERM)
		return CCR_RESULT_NO_PRIVILEGE;
	if (n != sizeof(*control) || control->magic != CCR_CONTROL_MAGIC)
		return CCR_RESULT_NOT_CUDA;
	return control->version == CCR_CONTROL_VERSION ? CUDA_SUCCESS
						       : CUDA_ERROR_SYSTEM_DRIVER_MISMATCH;
}

// The innermost id of a task, from its NSpid line; -1 if the task is gone.
static int inner_tid(int pid, const char *tid)
{
	char path[80], line[512];
	int inner = -1;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/task/%.20s/status", pid, tid);
	file = fopen(path, "re");
	if (!file)
		return -1;
	while (fgets(line, sizeof(line), file)) {
		char *last = strrchr(line, '\t');

		if (!strncmp(line, "NSpid:", 6) && last)
			inner = (int)strtol(last + 1, NULL, 10);
	}
	fclose(file);
	return inner;
}

CUresult SOFT(cuCheckpointProcessGetRestoreThreadId)(int pid, int *tid)
{
	struct ccr_control control;
	struct dirent *entry;
	char path[40];
	CUresult result;
	DIR *tasks;

	if (!tid)
		return CUDA_ERROR_INVALID_VALUE;
	result = read_control(pid, &control);
	if (result != CUDA_SUCCESS)
		return result;
	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	tasks = opendir(path);
	if (!tasks)
		return CCR_RESULT_NO_PROCESS;
	result = CCR_RESULT_NOT_CUDA;
	while ((entry = readdir(tasks))) {
		if (inner_tid(pid, entry->d_name) != control.tid)
			continue;
		*tid = (int)strtol(entry->d_name, NULL, 10);
		result = CUDA_SUCCESS;
		break;
	}
	closedir(tasks);
	if (result == CCR_RESULT_NOT_CUDA && ccr_is_dying(pid))
		return CCR_RESULT_NO_PROCESS; // its other threads end before it gives up its memory
	return result;
}

static int open_pipe(int pid, int fd, int flags)
{
	char path[40];
	struct stat st;
	int opened;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, fd);
	// O_NONBLOCK, so that opening does not hang if the program replaced the descriptor.
	opened = open(path, flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (opened >= 0 && (fstat(opened, &st) || !S_ISFIFO(st.st_mode))) {
		close(opened);
		return -1;
	}
	return opened;
}

static void close_channel(struct channel *channel)
{
	int *fds[] = {&channel->pidfd, &channel->request, &channel->reply, &channel->pending};

	for (int i = 0; i < 4; i++)
		if (*fds[i] >= 0)
			close(*fds[i]);
}

static CUresult open_channel(int pid, struct channel *channel)
{
	*channel = (struct channel){-1, -1, -1, -1};
	struct ccr_control control;
	CUresult result;

	channel->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	result = read_control(pid, &control);
	if (result != CUDA_SUCCESS)
		goto out;
	result = channel->pidfd < 0 ? CCR_RESULT_NO_PROCESS : CUDA_ERROR_OPERATING_SYSTEM;
	channel->request = open_pipe(pid, control.request_fds[1], O_WRONLY);
	channel->pending = open_pipe(pid, control.request_fds[0], O_RDONLY);
	channel->reply = open_pipe(pid, control.reply_fds[0], O_RDONLY);
	if (channel->pidfd >= 0 && channel->request >= 0 && channel->pending >= 0 &&
	    channel->reply >= 0)
		return CUDA_SUCCESS;
out:
	close_channel(channel);
	return result;
}

// Waits until no other caller is active. Discards what a killed caller has left in the pipes.
static void take_turn(const struct channel *channel)
{
	char waste[sizeof(struct ccr_request)];

	while (flock(channel->reply, LOCK_EX) && errno == EINTR)
		;
	while (read(channel->pending, waste, sizeof(waste)) > 0)
		;
	while (read(channel->reply, waste, sizeof(waste)) > 0)
		;
}

// Waits for our reply until the process exits. A stopped process may take any time.
static CUresult wait_reply(const struct channel *channel, uint64_t id, struct ccr_reply *out)
{
	for (;;) {
		struct pollfd fds[] = {{channel->reply, POLLIN, 0}, {channel->pidfd, POLLIN, 0}};
		struct ccr_reply reply;

		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			return CUDA_ERROR_OPERATING_SYSTEM;
		while (read(channel->reply, &reply, sizeof(reply)) == sizeof(reply))
			if (reply.id == id) {
				if (out)
					*out = reply;
				return (CUresult)reply.result;
			}
		if (fds[1].revents || fds[0].revents & (POLLHUP | POLLERR))
			return CCR_RESULT_NO_PROCESS;
	}
}

CUresult ccr_client_call(int pid, struct ccr_request *request, struct ccr_reply *reply)
{
	static atomic_uint serial;
	struct channel channel;
	CUresult result = open_channel(pid, &channel);

	if (result != CUDA_SUCCESS)
		return result;
	take_turn(&channel);
	request->id = (uint64_t)getpid() << 32 | atomic_fetch_add(&serial, 1);
	if (write(channel.request, request, sizeof(*request)) == sizeof(*request))
		result = wait_reply(&channel, request->id, reply);
	else
		result = CUDA_ERROR_OPERATING_SYSTEM;
	close_channel(&channel);
	return result;
}

int ccr_client_open_owner(int pid)
{
	struct ccr_control control;

	return read_control(pid, &control) == CUDA_SUCCESS
		       ? open_pipe(pid, control.request_fds[1], O_WRONLY)
		       : -1;
}

static bool is_waiting(uint32_t state)
{
	return state == CU_PROCESS_STATE_CHECKPOINTING || state == CU_PROCESS_STATE_RESTORING;
}

// As on hardware, it waits until a Checkpoint or Restore in progress has ended.
CUresult SOFT(cuCheckpointProcessGetState)(int pid, CUprocessState *state)
{
	const struct timespec pause = {.tv_nsec = 1000000};
	struct ccr_request request = {.op = CCR_REQUEST_STATE};
	struct ccr_reply reply = {.value = CU_PROCESS_STATE_FAILED};
	struct ccr_control control;
	CUresult result;

	if (!state)
		return CUDA_ERROR_INVALID_VALUE;
	while ((result = read_control(pid, &control)) == CUDA_SUCCESS &&
	       atomic_load(&control.is_working))
		nanosleep(&pause, NULL);
	if (result != CUDA_SUCCESS)
		return result;
	*state = (CUprocessState)atomic_load(&control.state);
	if (is_waiting(*state)) {
		result = ccr_client_call(pid, &request, &reply);
		*state = (CUprocessState)reply.value;
	}
	return result;
}

static bool is_zero(const void *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (((const char *)bytes)[i])
			return false;
	return true;
}

CUresult SOFT(cuCheckpointProcessLock)(int pid, CUcheckpointLockArgs *args)
{
	struct ccr_request request = {.op = CCR_REQUEST_LOCK};

	if (args && (args->reserved0 || !is_zero(args->reserved1, sizeof(args->reserved1))))
		return CUDA_ERROR_INVALID_VALUE;
	request.timeout_ms = args ? args->timeoutMs : 0;
	return ccr_client_call(pid, &request, NULL);
}

static bool has_storage(void)
{
	return ccr_soft_settings()->driver_version >= CCR_VERSION_STORAGE;
}

CUresult SOFT(cuCheckpointProcessCheckpoint)(int pid, CUcheckpointCheckpointArgs *args)
{
	struct ccr_request request = {.op = CCR_REQUEST_CHECKPOINT};

	if (args && (!is_zero(args->reserved, sizeof(args->reserved)) ||
		     (args->customStorageInfo_out && !has_storage())))
		return CUDA_ERROR_INVALID_VALUE;
	if (!args || !args->customStorageInfo_out)
		return ccr_client_call(pid, &request, NULL);
	request.op = CCR_REQUEST_STORAGE_CHECKPOINT;
	return ccr_operation_begin(pid, &request, args->customStorageInfo_out);
}

static bool are_valid(const CUcheckpointRestoreArgs *args)
{
	return !args->padding0 && is_zero(args->reserved, sizeof(args->reserved)) &&
	       (!args->customStorageInfo_out || has_storage()) &&
	       args->gpuPairsCount <= CCR_MAX_DEVICES && (!args->gpuPairsCount || args->gpuPairs);
}

CUresult SOFT(cuCheckpointProcessRestore)(int pid, CUcheckpointRestoreArgs *args)
{
	struct ccr_request request = {.op = CCR_REQUEST_RESTORE};

	if (!args)
		return ccr_client_call(pid, &request, NULL);
	if (!are_valid(args))
		return CUDA_ERROR_INVALID_VALUE;
	request.nr_pairs = args->gpuPairsCount;
	for (unsigned int i = 0; i < args->gpuPairsCount; i++)
		request.pairs[i] = args->gpuPairs[i];
	if (!args->customStorageInfo_out)
		return ccr_client_call(pid, &request, NULL);
	request.op = CCR_REQUEST_STORAGE_RESTORE;
	return ccr_operation_begin(pid, &request, args->customStorageInfo_out);
}

CUresult SOFT(cuCheckpointProcessUnlock)(int pid, CUcheckpointUnlockArgs *args)
{
	struct ccr_request request = {.op = CCR_REQUEST_UNLOCK};

	if (args && !is_zero(args, sizeof(*args)))
		return CUDA_ERROR_INVALID_VALUE;
	return ccr_client_call(pid, &request, NULL);
}
