// SPDX-License-Identifier: MIT
/*
 * The loop. A rank launches --depth steps ahead, so that at any moment one rank may
 * have launched what another has not. Then it sends its result to rank 0, which
 * compares, and tells all whether to continue.
 */
#include "workloads/ranks/ranks.h"
#include "workloads/workloads.h"

#include <errno.h>
#include <string.h>

struct result {
	uint64_t step, acc;
	uint64_t ends; /* to rank 0: it has failed; from rank 0: stop */
};

static uint64_t checksum_of(uint64_t words, uint64_t key, uint64_t steps)
{
	const uint64_t constant = pattern_expected(words, 0);
	const uint64_t weights = pattern_expected(words, 1) - constant;

	return constant + weights * (key + steps * CCR_RANK_INCREMENT);
}

uint64_t loop_expected_sum(const struct ranks_options *options, int rank, uint64_t steps)
{
	return checksum_of(options->words, pattern_key(PATTERN_OF, rank), steps);
}

/* The sum of all ranks in the first step, and how much each step adds to it. */
static void sums_of(const struct ranks_options *options, uint64_t *first, uint64_t *more)
{
	*first = *more = 0;
	for (int i = 0; i < options->ranks; i++) {
		const uint64_t one = loop_expected_sum(options, i, 1);

		*first += one;
		*more += loop_expected_sum(options, i, 2) - one;
	}
}

uint64_t loop_expected_acc(const struct ranks_options *options, uint64_t steps)
{
	uint64_t acc = 0, sum, more;

	sums_of(options, &sum, &more);
	for (uint64_t i = 0; i < steps; i++, sum += more)
		acc = ccr_mix64(acc + sum);
	return acc;
}

static int launch(struct rank *r, uint64_t step)
{
	uint64_t values[] = {r->table, r->options->ranks, r->number, r->options->words, step,
			     r->acc};
	void *params[6];

	for (int i = 0; i < 6; i++)
		params[i] = &values[i];
	RANK_TRY(r, cuLaunchKernel, r->reduce, 1, 1, 1, CCR_RANK_THREADS, 1, 1, 0, r->stream,
		 params, NULL);
	return 0;
}

static int run_steps(struct rank *r, struct result *result)
{
	for (int i = 0; i < r->options->depth; i++)
		if (launch(r, result->step + 1 + i))
			return -1;
	RANK_TRY(r, cuStreamSynchronize, r->stream);
	RANK_TRY(r, cuMemcpyDtoH_v2, &result->acc, r->acc, sizeof(result->acc));
	result->step += r->options->depth;
	return 0;
}

static int lost(struct rank *r)
{
	return rank_fail(r, "the connection to another rank", CUDA_ERROR_OPERATING_SYSTEM);
}

static bool is_same(const struct result *a, const struct result *b)
{
	return a->step == b->step && a->acc == b->acc;
}

/* In rank 0: everyone's result, then the verdict to everyone. */
static int lead(struct rank *r, struct result *own)
{
	struct result other;

	for (int i = 1; i < r->options->ranks; i++) {
		if (mesh_receive(r->mesh.star[i], &other, sizeof(other), NULL))
			return lost(r);
		if (!is_same(own, &other))
			own->ends = rank_fail(r, "the result of another rank differs",
					      CUDA_SUCCESS) != 0;
		own->ends |= other.ends;
	}
	pthread_mutex_lock(&r->lock);
	own->ends |= r->stop_wanted;
	pthread_mutex_unlock(&r->lock);
	for (int i = 1; i < r->options->ranks; i++)
		if (mesh_send(r->mesh.star[i], own, sizeof(*own), -1))
			return lost(r);
	return 0;
}

static int follow(struct rank *r, struct result *own)
{
	struct result verdict;

	if (mesh_send(r->mesh.star[0], own, sizeof(*own), -1) ||
	    mesh_receive(r->mesh.star[0], &verdict, sizeof(verdict), NULL))
		return lost(r);
	if (!is_same(own, &verdict))
		return rank_fail(r, "the result of rank 0 differs", CUDA_SUCCESS);
	own->ends = verdict.ends;
	return 0;
}

/* The accumulated value is computed along, so that each batch can be checked. */
static void expect_more(const struct ranks_options *options, uint64_t *acc, uint64_t step)
{
	uint64_t sum, more;

	sums_of(options, &sum, &more);
	for (int i = 0; i < options->depth; i++)
		*acc = ccr_mix64(*acc + sum + (step + i) * more);
}

static void *run(void *argument)
{
	struct rank *r = argument;
	struct result result = {.step = r->step, .acc = r->acc_value};
	uint64_t expected = r->acc_value;

	r->cuda.cuCtxSetCurrent(r->context);
	while (!result.ends) {
		expect_more(r->options, &expected, result.step);
		if (run_steps(r, &result) || loaders_take(r))
			break;
		if (result.acc != expected)
			result.ends = rank_fail(r, "the sum of a step is wrong", CUDA_SUCCESS) != 0;
		if (r->number ? follow(r, &result) : lead(r, &result))
			break;
		pthread_mutex_lock(&r->lock);
		r->step = result.step;
		r->acc_value = result.acc;
		pthread_cond_broadcast(&r->changed);
		pthread_mutex_unlock(&r->lock);
	}
	pthread_mutex_lock(&r->lock);
	r->is_running = r->stop_wanted = false;
	pthread_cond_broadcast(&r->changed);
	pthread_mutex_unlock(&r->lock);
	return NULL;
}

int loop_start(struct rank *r)
{
	pthread_t thread;
	bool was;

	pthread_mutex_lock(&r->lock);
	was = r->is_running;
	r->is_running = true;
	pthread_mutex_unlock(&r->lock);
	if (was)
		return 0;
	errno = pthread_create(&thread, NULL, run, r);
	if (errno)
		return rank_fail(r, "start a thread", CUDA_ERROR_OUT_OF_MEMORY);
	pthread_detach(thread);
	return 0;
}
