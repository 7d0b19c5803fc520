// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel copies a page into place as a whole, or says that it is already there, so it does not
 * matter whether the threads that fill the memory or the one that serves faults come first.
 */
#include "plugin/host/late/faults.h"

#include <errno.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "image/checksum/checksum.h"
#include "plugin/task/state.h"
#include "plugin/watch/guard.h"

#define BATCH	    (32u << 10) /* copied at once; a fault waits that long */
#define AROUND	    (64u << 10) /* brought in for one fault */
#define MESSAGES    16
#define URGENT_NICE (-20) /* other threads keep all CPUs busy */

static void fail(struct late *late, int error, const char *why)
{
	int none = 0;

	if (atomic_compare_exchange_strong(&late->failure, &none, error))
		ccr_err("%d: late memory: %s", late->pid, why);
}

/* ---- pages ---- */

/* Call with the lock held. */
static bool is_gone(const struct late *late, uint64_t start, uint64_t end)
{
	const size_t at = ccr__remap_find_range(&late->gone, start);

	return at < late->gone.nr && late->gone.list[at].start < end;
}

static ssize_t note_missed(struct late *late, uint64_t address, size_t page)
{
	const struct remap_range missed = {address, address + page};
	int ret;

	pthread_rwlock_wrlock(&late->lock);
	ret = ccr__remap_add_range(&late->missed, &missed);
	pthread_rwlock_unlock(&late->lock);
	return ret ? ret : (ssize_t)page;
}

/* Returns the bytes that are dealt with, or -errno. */
static ssize_t copy_some(struct late *late, uint64_t address, const char *bytes, size_t size)
{
	struct uffdio_copy copy = {.dst = address, .src = (uintptr_t)bytes, .len = size};
	ssize_t ret = size;

	pthread_rwlock_rdlock(&late->lock);
	if (is_gone(late, address, address + size))
		ret = -ENXIO;
	else if (ioctl(late->fd, UFFDIO_COPY, &copy))
		ret = copy.copy > 0 ? copy.copy : -errno;
	pthread_rwlock_unlock(&late->lock);
	return ret;
}

/* Pages that all hold data. -EAGAIN: the task changes its mappings, and waits for its message to
 * be taken. */
static int copy_run(struct late *late, uint64_t address, const char *bytes, size_t size)
{
	const size_t page = getpagesize();
	size_t most = BATCH;

	while (size) {
		const size_t piece = size < most ? size : most;
		ssize_t done = copy_some(late, address, bytes, piece);

		/* The kernel copies to one mapping at a time, and the task may have split it. */
		if (done < 0 && done != -EAGAIN && piece > page) {
			most = page;
			continue;
		}
		if (done == -EEXIST || done == -ENXIO)
			done = page;
		else if (done == -ENOENT)
			done = note_missed(late, address, page);
		if (done < 0)
			return done;
		if (done > (ssize_t)page)
			most = BATCH;
		address += done;
		bytes += done;
		size -= done;
	}
	return 0;
}

/* Calls copy_run for what is not zero. */
static int copy_data(struct late *late, uint64_t address, const char *bytes, size_t size,
		     int (*copy)(struct late *late, uint64_t address, const char *bytes,
				 size_t size))
{
	const size_t page = getpagesize();
	size_t start = 0;
	int ret = 0;

	for (size_t at = 0; !ret && at <= size; at += page) {
		if (at < size && !ccr_is_zero(bytes + at, page))
			continue;
		if (at > start)
			ret = copy(late, address + start, bytes + start, at - start);
		start = at + page;
	}
	return ret;
}

static int copy_patiently(struct late *late, uint64_t address, const char *bytes, size_t size)
{
	int ret;

	while ((ret = copy_run(late, address, bytes, size)) == -EAGAIN) {
		if (ccr__late_failure(late))
			return ccr__late_failure(late);
		sched_yield();
	}
	return ret;
}

int ccr__late_write(struct late *late, uint64_t address, const char *bytes, size_t size)
{
	return copy_data(late, address, bytes, size, copy_patiently);
}

/* ---- faults ---- */

/* What is brought in for a fault, inside its range. */
static struct remap_range around(const struct late *late, uint64_t page)
{
	struct remap_range wanted = {page & ~(uint64_t)(AROUND - 1), 0};
	const size_t at = ccr__remap_find_range(&late->ranges, page);

	wanted.end = wanted.start + AROUND;
	if (at == late->ranges.nr || late->ranges.list[at].start > page)
		return (struct remap_range){page, page}; /* it has grown: nothing is known of it */
	if (wanted.start < late->ranges.list[at].start)
		wanted.start = late->ranges.list[at].start;
	if (wanted.end > late->ranges.list[at].end)
		wanted.end = late->ranges.list[at].end;
	return wanted;
}

/* For a page without data; nothing happens if it is there. */
static int give_zeroes(const struct late *late, uint64_t page)
{
	struct uffdio_zeropage zero = {.range = {page, getpagesize()}};

	return ioctl(late->fd, UFFDIO_ZEROPAGE, &zero) && errno != EEXIST ? -errno : 0;
}

static int bring_in(struct late *late, uint64_t page, char *buffer)
{
	const struct remap_range wanted = around(late, page);
	const size_t size = wanted.end - wanted.start;
	int ret = size ? ccr__late_read(late, wanted.start, buffer, size) : 0;

	if (ret) {
		fail(late, ret, strerror(-ret));
		return ret;
	}
	ret = copy_data(late, wanted.start, buffer, size, copy_run);
	return ret ? ret : give_zeroes(late, page);
}

static void serve(struct late *late, uint64_t address, char *buffer)
{
	const size_t size = getpagesize();
	const uint64_t page = address & ~(uint64_t)(size - 1);
	struct uffdio_range range = {page, size};
	const int ret = bring_in(late, page, buffer);

	late->nr_faults++;
	/* After -EAGAIN it faults again, when the message that is in the way was taken. */
	if (ret && ret != -EAGAIN && ret != -ENOENT)
		fail(late, ret, strerror(-ret));
	else
		ioctl(late->fd, UFFDIO_WAKE, &range);
}

/* Call with the lock held for writing. */
static void note(struct late *late, const struct uffd_msg *message)
{
	const struct remap_range gone = {message->arg.remove.start, message->arg.remove.end};

	switch (message->event) {
	case UFFD_EVENT_REMOVE:
	case UFFD_EVENT_UNMAP:
		if (ccr__remap_add_range(&late->gone, &gone))
			fail(late, -ENOMEM, "out of memory");
		break;
	case UFFD_EVENT_FORK:
		close(message->arg.fork.ufd);
		fail(late, -ENOTSUP, "the driver has started a process");
		break;
	case UFFD_EVENT_REMAP:
		fail(late, -ENOTSUP, "the driver has moved memory of the program");
		break;
	}
}

static void take_messages(struct late *late, char *buffer)
{
	struct uffd_msg messages[MESSAGES];
	ssize_t length;

	pthread_rwlock_wrlock(&late->lock);
	length = read(late->fd, messages, sizeof(messages));
	for (size_t i = 0; length > 0 && i < length / sizeof(*messages); i++)
		note(late, &messages[i]);
	pthread_rwlock_unlock(&late->lock);
	for (size_t i = 0; length > 0 && i < length / sizeof(*messages); i++)
		if (messages[i].event == UFFD_EVENT_PAGEFAULT)
			serve(late, messages[i].arg.pagefault.address, buffer);
}

static void *run(void *data)
{
	struct late *late = data;
	struct pollfd pollers[] = {{.fd = late->fd, .events = POLLIN},
				   {.fd = late->stop, .events = POLLIN}};
	char *buffer = malloc(AROUND);

	ccr__guard_enter_thread();
	setpriority(PRIO_PROCESS, syscall(SYS_gettid), URGENT_NICE);
	if (!buffer)
		fail(late, -ENOMEM, "out of memory");
	while (buffer && !(pollers[1].revents & POLLIN)) {
		poll(pollers, 2, -1);
		if (pollers[0].revents)
			take_messages(late, buffer);
	}
	free(buffer);
	return NULL;
}

int ccr__faults_start(struct late *late)
{
	sigset_t all, before;
	int ret;

	/* Only criu's main thread may run its signal handlers. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	ret = pthread_create(&late->thread, NULL, run, late);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	late->has_thread = !ret;
	return -ret;
}

void ccr__faults_stop(struct late *late)
{
	if (!late->has_thread)
		return;
	eventfd_write(late->stop, 1);
	pthread_join(late->thread, NULL);
	late->has_thread = false;
}
