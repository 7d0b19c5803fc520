// SPDX-License-Identifier: GPL-2.0-only
/* Work for several threads: each piece is done once, what fails or is stopped is not continued, and
 * work that was freed once it was done is not touched. */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "plugin/task/state.h"
#include "plugin/threads/queue.h"
#include "test/check.h"

#define PIECES 200

struct counted {
	struct work work;
	atomic_uint times[PIECES];
	atomic_uint nr;
	size_t failing; /* its number; PIECES: none */
};

static int count(void *data, size_t piece, char *buffer)
{
	struct counted *counted = data;

	memset(buffer, piece, WORK_BUFFER);
	atomic_fetch_add(&counted->times[piece], 1);
	atomic_fetch_add(&counted->nr, 1);
	return piece == counted->failing ? -EBADMSG : 0;
}

static struct counted *add(size_t nr_pieces, size_t failing)
{
	struct counted *counted = calloc(1, sizeof(*counted));

	counted->failing = failing;
	counted->work = (struct work){.run = count, .data = counted, .nr_pieces = nr_pieces};
	ccr__work_add(&counted->work);
	return counted;
}

static int wait_for(struct counted *counted)
{
	struct pollfd poller = {.fd = ccr__work_fd(), .events = POLLIN};
	int result = 0;

	for (;;) {
		ccr__work_clear_fd();
		if (ccr__work_is_done(&counted->work, &result))
			return result;
		CHECK(poll(&poller, 1, 20000) == 1);
	}
}

static void check_all(struct counted *counted)
{
	CHECK(!wait_for(counted));
	for (size_t i = 0; i < PIECES; i++)
		CHECK(atomic_load(&counted->times[i]) == 1);
	CHECK(counted->work.start > 0 && counted->work.end >= counted->work.start);
	free(counted);
}

static void test_threads(void)
{
	struct counted *first, *second, *empty, *wrong;

	CHECK(!ccr__work_start());
	first = add(PIECES, PIECES);
	second = add(PIECES, PIECES);
	empty = add(0, PIECES);
	check_all(first);
	CHECK(!wait_for(empty));
	free(empty);
	/* What is added later does not depend on what was freed. */
	wrong = add(PIECES, 3);
	check_all(second);
	CHECK(wait_for(wrong) == -EBADMSG);
	CHECK(atomic_load(&wrong->nr) < PIECES);
	free(wrong);
	check_all(add(PIECES, PIECES));
	ccr__work_stop();
}

/* No piece is begun once it was stopped, and none is running. */
static void test_stop(void)
{
	struct counted *dropped;
	unsigned int nr;
	int result;

	CHECK(!ccr__work_start());
	dropped = add(PIECES, PIECES);
	ccr__work_stop();
	nr = atomic_load(&dropped->nr);
	CHECK(ccr__work_is_done(&dropped->work, &result));
	CHECK(result == (nr == PIECES ? 0 : -ECANCELED));
	CHECK(atomic_load(&dropped->nr) == nr);
	free(dropped);
	ccr__work_stop();
}

static atomic_bool is_held;
static atomic_uint nr_begun;

static int hold(void *data, size_t piece, char *buffer)
{
	while (atomic_load(&is_held))
		sched_yield();
	return 0;
}

/* Writes down when it was begun: 1 is the first. */
static int number(void *data, size_t piece, char *buffer)
{
	*(unsigned int *)data = atomic_fetch_add(&nr_begun, 1) + 1;
	return 0;
}

static void wait_until_done(struct work *work)
{
	int result;

	while (!ccr__work_is_done(work, &result))
		sched_yield();
	CHECK(!result);
}

/* What can wait comes after what cannot, each in the order in which it was added. */
static void test_order(void)
{
	unsigned int order[4] = {0};
	struct work first = {.run = hold, .nr_pieces = 1}, works[4];

	ccr__plugin.settings.streams = 1;
	atomic_store(&is_held, true);
	CHECK(!ccr__work_start());
	ccr__work_add(&first);
	for (int i = 0; i < 4; i++) {
		works[i] = (struct work){
			.run = number, .data = &order[i], .nr_pieces = 1, .can_wait = i < 2};
		ccr__work_add(&works[i]);
	}
	atomic_store(&is_held, false);
	wait_until_done(&first);
	for (int i = 0; i < 4; i++)
		wait_until_done(&works[i]);
	CHECK(order[2] == 1 && order[3] == 2 && order[0] == 3 && order[1] == 4);
	ccr__work_stop();
}

int main(void)
{
	ccr__plugin.settings.streams = 4;
	test_threads();
	test_stop();
	test_order();
	return failures ? 1 : 0;
}
