// SPDX-License-Identifier: MIT
// The control page and the restore thread, in the CUDA process. After a CRIU restore only this
// thread runs for a while. From its first request on it takes no lock, allocates no heap memory and
// blocks all signals.
#include "softcuda/checkpoint/checkpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

_Static_assert(sizeof(struct ccr_request) <= PIPE_BUF, "a request must be written atomically");

static struct ccr_control *const control = (struct ccr_control *)CCR_VA_CONTROL;
static atomic_int thread_tid;

bool ccr_control_is_live(void)
{
	return control->magic == CCR_CONTROL_MAGIC;
}

static int read_full(int fd, void *buffer, size_t size)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = read(fd, (char *)buffer + done, size - done);

		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n <= 0)
			return n ? -errno : -EPIPE;
		done += (size_t)n;
	}
	return 0;
}

static int write_full(int fd, const void *buffer, size_t size)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = write(fd, (const char *)buffer + done, size - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		done += (size_t)n;
	}
	return 0;
}

// A caller holds this lock until it has its reply. As on hardware, a request that has not been
// begun when its caller dies is dropped; one that has been begun is completed.
static bool has_caller(void)
{
	if (flock(control->reply_fds[0], LOCK_EX | LOCK_NB))
		return true;
	flock(control->reply_fds[0], LOCK_UN);
	return false;
}

static void *restore_thread(void *arg)
{
	static struct ccr_request request;

	atomic_store(&thread_tid, (int)syscall(SYS_gettid));
	syscall(SYS_futex, &thread_tid, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
	while (!read_full(control->request_fds[0], &request, sizeof(request))) {
		struct ccr_reply reply = {.id = request.id};

		if (!has_caller())
			continue;

		reply.result = (uint32_t)ccr_checkpoint_serve(control, &request, &reply.value);
		if (write_full(control->reply_fds[1], &reply, sizeof(reply)))
			break;
	}
	return NULL;
}

static int start_thread(void)
{
	sigset_t all, old;
	pthread_attr_t attr;
	pthread_t thread;
	int error;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	error = pthread_create(&thread, &attr, restore_thread, NULL);
	pthread_attr_destroy(&attr);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (error)
		return -error;
	pthread_setname_np(thread, CCR_RESTORE_COMM);
	while (!atomic_load(&thread_tid))
		syscall(SYS_futex, &thread_tid, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
	return 0;
}

// A pipe never fills up, since it holds one request or reply at a time.
static int open_pipes(void)
{
	int request[2], reply[2];

	if (pipe2(request, O_CLOEXEC))
		return -errno;
	if (pipe2(reply, O_CLOEXEC)) {
		int error = errno;

		close(request[0]);
		close(request[1]);
		return -error;
	}
	for (int i = 0; i < 2; i++) {
		control->request_fds[i] = request[i];
		control->reply_fds[i] = reply[i];
	}
	return 0;
}

CUresult ccr_control_start(void)
{
	void *page = mmap(control, 4096, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	if (page == MAP_FAILED)
		return CUDA_ERROR_OPERATING_SYSTEM;
	if (page != control) {
		munmap(page, 4096);
		return CUDA_ERROR_OPERATING_SYSTEM;
	}
	if (madvise(page, 4096, MADV_WIPEONFORK))
		goto out_page;
	if (open_pipes())
		goto out_page;
	if (start_thread())
		goto out_pipes;
	control->tid = atomic_load(&thread_tid);
	control->version = CCR_CONTROL_VERSION;
	control->magic = CCR_CONTROL_MAGIC;
	return CUDA_SUCCESS;

out_pipes:
	for (int i = 0; i < 2; i++) {
		close(control->request_fds[i]);
		close(control->reply_fds[i]);
	}
out_page:
	munmap(page, 4096);
	return CUDA_ERROR_OPERATING_SYSTEM;
}
