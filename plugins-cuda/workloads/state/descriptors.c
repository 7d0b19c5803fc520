// SPDX-License-Identifier: MIT
/* Open files of every kind. A check reads what is in them and writes it again. */
#include "workloads/state/state.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define MAX_DESCRIPTORS 64
#define CONTENT		256
#define FAR_SECONDS	1000000

enum what {
	PIPE,
	SOCKETS,
	PACKETS,
	REGULAR_FILE,
	DELETED_FILE,
	COUNTER,
	TIMER,
	EPOLL,
	NULL_DEVICE
};
#define NR_KINDS (NULL_DEVICE + 1)

static const char *const names[NR_KINDS] = {
	"pipe", "sockets", "packets", "file", "deleted", "counter", "timer", "epoll", "null",
};

static struct descriptor {
	enum what what;
	int fd[2]; /* -1 where there is none */
	uint64_t key;
	unsigned int length; /* of what is in it */
} descriptors[MAX_DESCRIPTORS];
static int nr_descriptors;

static void content_of(const struct descriptor *d, uint8_t *content)
{
	for (unsigned int i = 0; i < d->length; i++)
		content[i] = (uint8_t)ccr_mix64(d->key + i);
}

/* The end to write to. */
static int write_end(const struct descriptor *d)
{
	return d->what == REGULAR_FILE || d->what == DELETED_FILE ? d->fd[0] : d->fd[1];
}

static int put(const struct descriptor *d)
{
	uint8_t content[CONTENT];

	content_of(d, content);
	return write(write_end(d), content, d->length) == (ssize_t)d->length ? 0 : -1;
}

static int make_file(struct descriptor *d, const char *dir, int role)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/state-%d-%d", dir, role, nr_descriptors);
	d->fd[0] = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (d->fd[0] < 0 || put(d))
		return -1;
	return d->what == DELETED_FILE ? unlink(path) : 0;
}

static int make_epoll(struct descriptor *d)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = d->key};

	d->fd[0] = epoll_create1(EPOLL_CLOEXEC);
	d->fd[1] = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
	return d->fd[0] < 0 || d->fd[1] < 0 ? -1
					    : epoll_ctl(d->fd[0], EPOLL_CTL_ADD, d->fd[1], &event);
}

static int make_timer(struct descriptor *d)
{
	const struct itimerspec when = {.it_value.tv_sec = FAR_SECONDS, .it_interval.tv_sec = 7};

	d->fd[0] = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	return d->fd[0] < 0 ? -1 : timerfd_settime(d->fd[0], 0, &when, NULL);
}

static int make(struct descriptor *d, const char *dir, int role)
{
	switch (d->what) {
	case PIPE:
		return pipe2(d->fd, O_CLOEXEC) || put(d) ? -1 : 0;
	case SOCKETS:
		return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, d->fd) || put(d) ? -1 : 0;
	case PACKETS:
		return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, d->fd) || put(d) ? -1
											      : 0;
	case REGULAR_FILE:
	case DELETED_FILE:
		return make_file(d, dir, role);
	case COUNTER:
		d->fd[0] = eventfd(d->length, EFD_CLOEXEC | EFD_NONBLOCK);
		return d->fd[0] < 0 ? -1 : 0;
	case TIMER:
		return make_timer(d);
	case EPOLL:
		return make_epoll(d);
	case NULL_DEVICE:
		d->fd[0] = open("/dev/null", O_RDWR | O_CLOEXEC);
		return d->fd[0] < 0 ? -1 : 0;
	}
	return 0;
}

int descriptors_make(uint64_t seed, int count, const char *dir, int role)
{
	for (nr_descriptors = 0; nr_descriptors < count; nr_descriptors++) {
		struct descriptor *d = &descriptors[nr_descriptors];

		d->what = (enum what)state_random(&seed, NR_KINDS);
		d->key = state_random(&seed, UINT64_MAX);
		d->length = 1 + state_random(&seed, CONTENT - 1);
		d->fd[0] = d->fd[1] = -1;
		if (make(d, dir, role))
			return -1;
	}
	return 0;
}

/* What is to be read from it is there, and is written again. */
static bool check_content(const struct descriptor *d)
{
	const bool is_file = d->what == REGULAR_FILE || d->what == DELETED_FILE;
	uint8_t expected[CONTENT], found[CONTENT + 1];
	ssize_t length;

	content_of(d, expected);
	if (is_file) /* its position is after what was written */
		return lseek(d->fd[0], 0, SEEK_CUR) == d->length &&
		       pread(d->fd[0], found, sizeof(found), 0) == (ssize_t)d->length &&
		       !memcmp(found, expected, d->length);
	length = d->what == PIPE ? read(d->fd[0], found, sizeof(found))
				 : recv(d->fd[0], found, sizeof(found), MSG_DONTWAIT);
	return length == (ssize_t)d->length && !memcmp(found, expected, d->length) && !put(d);
}

static bool check_counter(const struct descriptor *d)
{
	uint64_t value = 0;

	return read(d->fd[0], &value, sizeof(value)) == sizeof(value) && value == d->length &&
	       write(d->fd[0], &value, sizeof(value)) == sizeof(value);
}

static bool check_timer(const struct descriptor *d)
{
	struct itimerspec when = {0};

	return !timerfd_gettime(d->fd[0], &when) && when.it_interval.tv_sec == 7 &&
	       when.it_value.tv_sec > FAR_SECONDS / 2 && when.it_value.tv_sec <= FAR_SECONDS;
}

static bool check(const struct descriptor *d)
{
	struct epoll_event event;

	switch (d->what) {
	case COUNTER:
		return check_counter(d);
	case TIMER:
		return check_timer(d);
	case EPOLL:
		return epoll_wait(d->fd[0], &event, 1, 0) == 1 && event.data.u64 == d->key;
	case NULL_DEVICE:
		return write(d->fd[0], "", 1) == 1;
	default:
		return check_content(d);
	}
}

void descriptors_report(struct report *r)
{
	for (int i = 0; i < nr_descriptors; i++) {
		const struct descriptor *d = &descriptors[i];

		report_add(r, "fd%d.%s=%s ", d->fd[0], names[d->what],
			   check(d) ? "right" : "wrong");
	}
}
