// SPDX-License-Identifier: GPL-2.0-only
#include "plugin/threads/queue.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "plugin/task/state.h"
#include "plugin/threads/threads.h"

static struct {
	pthread_mutex_t lock;
	pthread_cond_t added;
	struct work *list; /* in the order in which it is to be begun */
	bool is_ending;
	int fd;
	struct remap_threads threads;
} queue = {.lock = PTHREAD_MUTEX_INITIALIZER, .added = PTHREAD_COND_INITIALIZER, .fd = -1};

static bool is_left(const struct work *work)
{
	return !work->result && work->nr_begun < work->nr_pieces;
}

/* Call with the lock held. */
static struct work *find(void)
{
	struct work *work = queue.list;

	while (work && !is_left(work))
		work = work->next;
	return work;
}

/* Call with the lock held, which is released meanwhile. */
static void run_piece(struct work *work, char *buffer)
{
	const size_t piece = work->nr_begun++;
	int ret;

	work->nr_running++;
	if (!work->start)
		work->start = ccr__now_ms();
	pthread_mutex_unlock(&queue.lock);
	ret = work->run(work->data, piece, buffer);
	pthread_mutex_lock(&queue.lock);
	if (!work->result)
		work->result = ret;
	if (--work->nr_running || is_left(work))
		return;
	work->end = ccr__now_ms();
	eventfd_write(queue.fd, 1);
}

static void *run(void *unused)
{
	char *buffer = malloc(WORK_BUFFER);
	struct work *work;

	pthread_mutex_lock(&queue.lock);
	while (buffer && !queue.is_ending) {
		work = find();
		if (work)
			run_piece(work, buffer);
		else
			pthread_cond_wait(&queue.added, &queue.lock);
	}
	pthread_mutex_unlock(&queue.lock);
	free(buffer);
	return NULL;
}

int ccr__work_start(void)
{
	queue.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (queue.fd < 0)
		return -errno;
	ccr__remap_threads_begin(&queue.threads, 0, run, NULL);
	return 0;
}

bool ccr__work_has_threads(void)
{
	return queue.threads.nr;
}

void ccr__work_add(struct work *work)
{
	struct work **link = &queue.list;

	pthread_mutex_lock(&queue.lock);
	while (*link && (work->can_wait || !(*link)->can_wait))
		link = &(*link)->next;
	work->next = *link;
	*link = work;
	pthread_cond_broadcast(&queue.added);
	pthread_mutex_unlock(&queue.lock);
}

/* Call with the lock held: there are no threads to do it. */
static void run_all(struct work *work)
{
	char *buffer = malloc(WORK_BUFFER);

	if (!buffer)
		work->result = -ENOMEM;
	while (is_left(work))
		run_piece(work, buffer);
	free(buffer);
}

/* Call with the lock held. Does nothing if it was dropped before. */
static void drop(struct work *work)
{
	struct work **link = &queue.list;

	while (*link && *link != work)
		link = &(*link)->next;
	if (*link)
		*link = work->next;
	work->next = NULL;
}

bool ccr__work_is_done(struct work *work, int *result)
{
	bool is_done;

	pthread_mutex_lock(&queue.lock);
	if (!queue.threads.nr)
		run_all(work);
	is_done = !work->nr_running && !is_left(work);
	if (is_done)
		drop(work);
	*result = work->result;
	pthread_mutex_unlock(&queue.lock);
	return is_done;
}

int ccr__work_fd(void)
{
	return queue.fd;
}

void ccr__work_clear_fd(void)
{
	eventfd_t unused;

	eventfd_read(queue.fd, &unused);
}

void ccr__work_stop(void)
{
	pthread_mutex_lock(&queue.lock);
	queue.is_ending = true;
	pthread_cond_broadcast(&queue.added);
	pthread_mutex_unlock(&queue.lock);
	ccr__remap_threads_end(&queue.threads);
	for (struct work *work = queue.list; work; work = work->next)
		if (is_left(work))
			work->result = -ECANCELED;
	queue.is_ending = false;
	queue.list = NULL;
	if (queue.fd >= 0)
		close(queue.fd);
	queue.fd = -1;
}
