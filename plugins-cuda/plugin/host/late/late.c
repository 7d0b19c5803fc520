// SPDX-License-Identifier: GPL-2.0-only
/*
 * The userfaultfd is made in the task, which closes it again at once, so that a program never sees
 * it; criu has taken a duplicate. If the last descriptor is closed, the kernel gives pages of
 * zeroes to what waits for one; when criu is killed, that would be before its tracees are killed.
 * So the watcher holds a duplicate, too.
 */
#include "plugin/host/late/late.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "plugin/host/late/faults.h"
#include "plugin/inject/inject.h"
#include "plugin/task/state.h"
#include "plugin/watch/watcher_link.h"

#ifndef USERFAULTFD_IOC_NEW /* Linux 6.1 */
#define USERFAULTFD_IOC_NEW _IO(0xAA, 0x00)
#endif

/* What the restore thread may do to the memory, and we have to know. */
#define FEATURES                                                                          \
	(UFFD_FEATURE_EVENT_FORK | UFFD_FEATURE_EVENT_REMAP | UFFD_FEATURE_EVENT_REMOVE | \
	 UFFD_FEATURE_EVENT_UNMAP)

static struct late *abandoned;

static int call(struct injection *in, int *result, long number, uint64_t a, uint64_t b, uint64_t c)
{
	const uint64_t arguments[6] = {a, b, c};
	int64_t long_result = 0;
	const int ret = ccr__inject_call(in, &long_result, number, arguments);

	*result = (int)long_result;
	return ret;
}

/* A task without CAP_SYS_PTRACE may use the device, if somebody who may open it passes it on. */
static int create_through_device(struct injection *in, int *task_fd)
{
	const int device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
	int task_device, unused, ret;

	*task_fd = device < 0 ? -errno : 0;
	if (device < 0)
		return 0;
	ret = ccr__inject_fd(in, device, &task_device);
	close(device);
	*task_fd = task_device;
	if (ret || task_device < 0)
		return ret;
	ret = call(in, task_fd, SYS_ioctl, task_device, USERFAULTFD_IOC_NEW,
		   O_CLOEXEC | O_NONBLOCK);
	return ret ? ret : call(in, &unused, SYS_close, task_device, 0, 0);
}

static int borrow(pid_t pid, int task_fd)
{
	const int pidfd = syscall(SYS_pidfd_open, pid, 0);
	const int fd = pidfd < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, pidfd, task_fd, 0);
	const int ret = fd < 0 ? -errno : fd;

	if (pidfd >= 0)
		close(pidfd);
	return ret;
}

/* Returns 0 with our descriptor, or with -errno, in `fd`; or -errno: the task does not respond. */
static int create(struct injection *in, int *fd)
{
	int task_fd, closed, ret;

	ret = call(in, &task_fd, SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK, 0, 0);
	if (!ret && task_fd == -EPERM)
		ret = create_through_device(in, &task_fd);
	*fd = task_fd;
	if (ret || task_fd < 0)
		return ret;
	*fd = borrow(in->tgid, task_fd);
	ret = call(in, &closed, SYS_close, task_fd, 0, 0);
	return ret ? ret : closed;
}

static int choose_features(const struct late *late)
{
	struct uffdio_api api = {.api = UFFD_API, .features = FEATURES};

	return ioctl(late->fd, UFFDIO_API, &api) ? -errno : 0;
}

static int register_ranges(const struct late *late)
{
	for (size_t i = 0; i < late->ranges.nr; i++) {
		const struct remap_range *range = &late->ranges.list[i];
		struct uffdio_register reg = {
			.range = {range->start, range->end - range->start},
			.mode = UFFDIO_REGISTER_MODE_MISSING,
		};

		if (ioctl(late->fd, UFFDIO_REGISTER, &reg))
			return -errno;
	}
	return 0;
}

static void free_late(struct late *late)
{
	if (late->stop >= 0)
		close(late->stop);
	pthread_rwlock_destroy(&late->lock);
	free(late->ranges.list);
	free(late->gone.list);
	free(late->missed.list);
	free(late);
}

static struct late *new_late(const struct ccr_pages *pages, int file)
{
	struct late *late = calloc(1, sizeof(*late));
	pthread_rwlockattr_t prefer_writer;

	if (!late)
		return NULL;
	late->pages = pages;
	late->file = file;
	late->fd = -1;
	late->stop = eventfd(0, EFD_CLOEXEC);
	pthread_rwlockattr_init(&prefer_writer);
	pthread_rwlockattr_setkind_np(&prefer_writer, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&late->lock, &prefer_writer);
	pthread_rwlockattr_destroy(&prefer_writer);
	if (late->stop >= 0 && !ccr__late_choose(&late->ranges, pages))
		return late;
	free_late(late);
	return NULL;
}

/* The kernel forgets all ranges with the last descriptor. Returns 0 or -errno: the watcher may
 * still hold one. */
static int close_all(struct late *late)
{
	const int ret = ccr__watcher_let_go(late->fd);

	close(late->fd);
	return ret;
}

/*
 * Makes it ordinary memory, also when the watcher does not answer: a missing page is one of zeroes
 * from then on, and nobody has to bring it in. Returns 0; or -errno: the task must not run, because
 * it would wait for such a page forever.
 */
static int release(struct late *late)
{
	int left = 0, held;

	for (size_t i = 0; i < late->ranges.nr; i++) {
		const struct remap_range *range = &late->ranges.list[i];
		struct uffdio_range all = {range->start, range->end - range->start};

		if (ioctl(late->fd, UFFDIO_UNREGISTER, &all))
			left = -errno; /* the driver has something else there now */
	}
	held = close_all(late);
	if (left && held)
		ccr_err("%d: late memory: %s; the watcher does not close its descriptor: %s",
			late->pid, strerror(-left), strerror(-held));
	return left ? held : 0;
}

static int unavailable(const struct injection *in, int reason)
{
	ccr_info("%d: its memory is filled before the driver restores it: userfaultfd: %s",
		 in->tgid, strerror(-reason));
	return -ENOTSUP;
}

int ccr__late_begin(struct late **out, struct injection *in, const struct ccr_pages *pages,
		    int file)
{
	struct late *late = new_late(pages, file);
	int ret, released;

	*out = NULL;
	if (!late)
		return unavailable(in, -ENOMEM);
	ret = create(in, &late->fd);
	if (ret || late->fd < 0) {
		ret = ret ? ret : unavailable(in, late->fd);
		free_late(late);
		return ret;
	}
	late->pid = in->tgid;
	ret = choose_features(late);
	if (!ret)
		ret = ccr__watcher_hold(late->fd);
	if (!ret)
		ret = register_ranges(late);
	if (!ret)
		ret = ccr__faults_start(late);
	if (!ret) {
		*out = late;
		return 0;
	}
	released = release(late);
	free_late(late);
	return released ? released : unavailable(in, ret);
}

int ccr__late_failure(const struct late *late)
{
	return atomic_load(&late->failure);
}

/* Nothing was mapped there when it was to be filled: then the task has unmapped it. */
static int check_missed(const struct late *late)
{
	for (size_t i = 0; i < late->missed.nr; i++) {
		const struct remap_range *missed = &late->missed.list[i];
		const size_t at = ccr__remap_find_range(&late->gone, missed->start);

		if (at == late->gone.nr || late->gone.list[at].start > missed->start ||
		    late->gone.list[at].end < missed->end) {
			ccr_err("%d: late memory at %#llx is not there", late->pid,
				(unsigned long long)missed->start);
			return -EFAULT;
		}
	}
	return 0;
}

int ccr__late_end(struct late *late, struct late_account *account)
{
	int ret;

	ccr__faults_stop(late);
	ret = ccr__late_failure(late);
	if (!ret)
		ret = check_missed(late);
	*account = (struct late_account){.faults = late->nr_faults};
	for (size_t i = 0; i < late->ranges.nr; i++)
		account->bytes += late->ranges.list[i].end - late->ranges.list[i].start;
	if (ret) {
		late->next = abandoned;
		abandoned = late;
		return ret;
	}
	ret = release(late);
	free_late(late);
	return ret;
}

void ccr__late_abandon(struct late *late)
{
	ccr__faults_stop(late);
	late->next = abandoned;
	abandoned = late;
}

void ccr__late_forget(void)
{
	while (abandoned) {
		struct late *late = abandoned;

		abandoned = late->next;
		close_all(late);
		free_late(late);
	}
}
