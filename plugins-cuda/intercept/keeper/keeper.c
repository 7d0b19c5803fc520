// SPDX-License-Identifier: MIT
/*
 * A descriptor gets from one table to the other over a Unix socket: the keeper
 * listens, under a name that the kernel chooses. (pidfd_getfd on ourselves would be
 * simpler, but the seccomp profiles of container engines refuse it.) The program's
 * side is a short-lived thread, the courier, with a copy of the program's table, so
 * the program has no descriptor of ours even for a moment, and may have no free one.
 */
#include "intercept/keeper/shared.h"
#include "intercept/keeper/thread.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static struct {
	pthread_mutex_t lock;
	struct ccr__keeper shared;
	uint32_t generation; /* of the thread: the upper half of what it keeps */
	bool is_running, is_unusable;
	char *stack;
	struct ccr__published *table; /* what others may ask for; the thread reads it */
	int nr_published;
	pid_t courier_tid;
	uint32_t is_courier_alive; /* futex; the kernel clears it */
} keeper = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* The courier's; there is one at a time. */
static char courier_stack[CCR__KEEPER_STACK] __attribute__((aligned(64)));

/* Connects, sends the descriptor and waits until the keeper has served the request, or has ended.
 */
static long deliver(struct ccr__keep_request *r)
{
	const long socket = ccr__raw(SYS_socket, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	long ret;
	int none;

	if (socket < 0)
		return socket;
	if (ccr__raw(SYS_connect, socket, &keeper.shared.name, keeper.shared.name_size) ||
	    !ccr__pass_is_own(socket))
		return -ENOTCONN;
	r->result = -ENOTCONN;
	ret = ccr__pass_send(socket, "", 1, &r->fd, r->fd >= 0);
	if (ret != 1)
		return ret == -EPIPE || ret == -ECONNRESET ? -ENOTCONN : ret;
	ccr__pass_receive(socket, &none);
	return r->result;
}

static int courier_thread(void *argument)
{
	struct ccr__keep_request *r = argument;

	ccr__pass_name("criu-cuda-pass");
	/* What the program closes meanwhile must not stay open here, and there must be room. */
	ccr__raw(SYS_close_range, r->fd + 1, ~0u, 0);
	if (r->fd > 0 && ccr__raw(SYS_close_range, 0, r->fd - 1, 0))
		ccr__raw(SYS_close, 0);
	if (!r->fd)
		ccr__raw(SYS_close, 1);
	r->result = deliver(r);
	/* The caller continues before the kernel has closed what an ended thread had. */
	ccr__raw(SYS_close_range, 0, ~0u, 0);
	return 0;
}

static int ask(struct ccr__keep_request *r)
{
	int tid;

	/* The last one has ended, but may still be listed: there are never two. */
	if (keeper.courier_tid)
		ccr__keeper_thread_gone(keeper.courier_tid);
	tid = ccr__keeper_thread_start(courier_thread, courier_stack, r, &keeper.is_courier_alive);
	if (tid < 0)
		return tid;
	keeper.courier_tid = tid;
	ccr__keeper_thread_wait(&keeper.is_courier_alive, 1);
	return r->result;
}

static void free_stack(void)
{
	munmap(keeper.stack, CCR__KEEPER_STACK);
	keeper.stack = NULL;
}

static void forget_table(void)
{
	struct ccr__published *table = keeper.table;

	keeper.table = NULL;
	keeper.nr_published = 0;
	free(table);
}

static int start(void)
{
	int tid;

	forget_table();
	keeper.stack = mmap(NULL, CCR__KEEPER_STACK, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	if (keeper.stack == MAP_FAILED)
		return -ENOMEM;
	keeper.shared.is_started = 0;
	tid = ccr__keeper_thread_start(ccr__keeper_run, keeper.stack, &keeper.shared,
				       &keeper.shared.is_alive);
	if (tid >= 0)
		ccr__keeper_thread_wait(&keeper.shared.is_started, 0);
	if (tid >= 0 && !keeper.shared.started) {
		keeper.is_running = true;
		keeper.generation++;
		return 0;
	}
	if (tid >= 0)
		ccr__keeper_thread_wait(&keeper.shared.is_alive, 1);
	free_stack();
	return tid < 0 ? tid : keeper.shared.started;
}

static uint64_t number_of(int slot)
{
	return (uint64_t)keeper.generation << 32 | (uint32_t)slot;
}

static bool is_kept(uint64_t kept)
{
	return keeper.is_running && kept >> 32 == keeper.generation;
}

/* Its thread came back without its descriptors, and ends or sleeps; its stack is its own. */
static void forget_lost(int result)
{
	if (result == -ENOTCONN)
		keeper.is_running = false;
}

static int ask_to_keep(int fd)
{
	int ret;

	keeper.shared.request = (struct ccr__keep_request){.what = CCR__KEEP, .fd = fd};
	ret = ask(&keeper.shared.request);
	forget_lost(ret);
	return ret;
}

int ccr__keep(int fd, uint64_t *kept)
{
	int ret = -ENOTCONN;

	pthread_mutex_lock(&keeper.lock);
	if (keeper.is_running)
		ret = ask_to_keep(fd);
	if (ret == -ENOTCONN && !keeper.is_unusable) {
		ret = start();
		if (!ret)
			ret = ask_to_keep(fd);
		/* The thread is in another network namespace, say: each try would add a thread. */
		keeper.is_unusable = ret == -ENOTCONN;
	}
	if (ret >= 0)
		*kept = number_of(ret);
	pthread_mutex_unlock(&keeper.lock);
	return ret < 0 ? ret : 0;
}

/* The thread may be reading the table, so it gets another one. Takes `table`. */
static int replace_table(struct ccr__published *table, int nr)
{
	int ret;

	keeper.shared.request = (struct ccr__keep_request){
		.what = CCR__PUBLISH, .fd = -1, .table = table, .nr = nr};
	ret = ask(&keeper.shared.request);
	forget_lost(ret);
	if (ret) {
		free(table);
		return ret;
	}
	forget_table();
	keeper.table = table;
	keeper.nr_published = nr;
	return 0;
}

static int publish(int slot, const struct ccr__token *token)
{
	const int nr = keeper.nr_published;
	struct ccr__published *table = malloc((nr + 1) * sizeof(*table));

	if (!table)
		return -ENOMEM;
	if (nr)
		memcpy(table, keeper.table, nr * sizeof(*table));
	table[nr] = (struct ccr__published){*token, slot};
	return replace_table(table, nr + 1);
}

/* Before its descriptor is closed, whose number is used again. Returns 0 or -errno. */
static int unpublish(int slot)
{
	struct ccr__published *table;
	int nr = 0;

	while (nr < keeper.nr_published && keeper.table[nr].slot != slot)
		nr++;
	if (nr == keeper.nr_published)
		return 0;
	table = malloc(keeper.nr_published * sizeof(*table));
	if (!table)
		return -ENOMEM;
	nr = 0;
	for (int i = 0; i < keeper.nr_published; i++)
		if (keeper.table[i].slot != slot)
			table[nr++] = keeper.table[i];
	return replace_table(table, nr);
}

int ccr__keep_publish(uint64_t kept, const struct ccr__token *token)
{
	int ret;

	pthread_mutex_lock(&keeper.lock);
	ret = is_kept(kept) ? publish((int)kept, token) : -ESTALE;
	pthread_mutex_unlock(&keeper.lock);
	return ret == -ENOTCONN ? -ESTALE : ret;
}

void ccr__keep_drop(uint64_t kept)
{
	pthread_mutex_lock(&keeper.lock);
	/* What could not be taken out of the table stays open. */
	if (kept && is_kept(kept) && !unpublish((int)kept)) {
		keeper.shared.request = (struct ccr__keep_request){
			.what = CCR__DROP, .fd = -1, .slots = {(int)kept}};
		forget_lost(ask(&keeper.shared.request));
	}
	pthread_mutex_unlock(&keeper.lock);
}

int ccr__keep_send(int socket, const void *message, size_t size, const uint64_t *kept, int nr)
{
	int ret = nr < 0 || nr > CCR__KEEP_MAX ? -EINVAL : 0;

	pthread_mutex_lock(&keeper.lock);
	for (int i = 0; !ret && i < nr; i++) {
		ret = is_kept(kept[i]) ? 0 : -ESTALE;
		keeper.shared.request.slots[i] = (int)kept[i];
	}
	if (!ret) {
		keeper.shared.request.what = CCR__SEND;
		keeper.shared.request.fd = socket;
		keeper.shared.request.nr = nr;
		keeper.shared.request.message = message;
		keeper.shared.request.size = size;
		ret = ask(&keeper.shared.request);
		forget_lost(ret);
		ret = keeper.is_running ? ret : -ESTALE;
	}
	pthread_mutex_unlock(&keeper.lock);
	return ret;
}

void ccr__keep_end(void)
{
	pthread_mutex_lock(&keeper.lock);
	if (keeper.is_running) {
		keeper.shared.request = (struct ccr__keep_request){.what = CCR__END, .fd = -1};
		ask(&keeper.shared.request);
		/* A lost one ends by itself, or never. */
		if (keeper.shared.request.result != -ENOTCONN) {
			ccr__keeper_thread_wait(&keeper.shared.is_alive, 1);
			ccr__keeper_thread_gone(keeper.shared.tid);
			ccr__keeper_thread_gone(keeper.courier_tid);
			free_stack();
			forget_table();
		}
		keeper.is_running = false;
	}
	pthread_mutex_unlock(&keeper.lock);
}

void ccr__keep_reset(void)
{
	pthread_mutex_init(&keeper.lock, NULL);
	if (keeper.is_running)
		free_stack();
	/* Not freed: the fork may have come while it was being replaced. */
	keeper.table = NULL;
	keeper.nr_published = 0;
	keeper.is_running = false;
	keeper.courier_tid = 0;
}
