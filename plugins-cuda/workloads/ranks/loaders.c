// SPDX-License-Identifier: MIT
/*
 * Data loaders: processes that a rank forks when it already uses CUDA, as PyTorch does. They
 * write batches to memory that they share with the rank, which has registered it and copies from
 * there. Each is always one batch ahead.
 */
#include "workloads/ranks/ranks.h"
#include "workloads/workloads.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define BATCH_WORDS 32768u
#define BATCH_BYTES (BATCH_WORDS * 8u)

static uint64_t key_of(const struct rank *r, uint64_t batch)
{
	return pattern_key(PATTERN_OF + 2 + r->number, batch);
}

static uint64_t *slot_of(const struct rank *r, uint64_t batch)
{
	return r->slots + batch % r->options->loaders * BATCH_WORDS;
}

__attribute__((noreturn)) static void load(const struct rank *r, int socket)
{
	uint64_t batch;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (!mesh_receive(socket, &batch, sizeof(batch), NULL)) {
		ccr_pattern_fill(slot_of(r, batch), BATCH_WORDS, 0, key_of(r, batch));
		if (mesh_send(socket, &batch, sizeof(batch), -1))
			break;
	}
	_exit(0);
}

static int fail_as_errno(struct rank *r)
{
	return rank_fail(r, strerror(errno), CUDA_ERROR_OPERATING_SYSTEM);
}

static int ask_for(struct rank *r, uint64_t batch)
{
	return mesh_send(r->loaders[batch % r->options->loaders], &batch, sizeof(batch), -1)
		       ? fail_as_errno(r)
		       : 0;
}

static int start_one(struct rank *r, int i)
{
	int pair[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return fail_as_errno(r);
	pid = fork();
	if (pid < 0)
		return fail_as_errno(r);
	if (!pid) {
		close(pair[0]);
		load(r, pair[1]);
	}
	close(pair[1]);
	r->loaders[i] = pair[0];
	return ask_for(r, i);
}

int loaders_start(struct rank *r)
{
	const size_t size = (size_t)r->options->loaders * BATCH_BYTES;

	if (!r->options->loaders)
		return 0;
	r->slots = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (r->slots == MAP_FAILED)
		return fail_as_errno(r);
	RANK_TRY(r, cuMemHostRegister_v2, r->slots, size, CU_MEMHOSTREGISTER_PORTABLE);
	RANK_TRY(r, cuMemAlloc_v2, &r->batch, BATCH_BYTES);
	for (int i = 0; i < r->options->loaders; i++)
		if (start_one(r, i))
			return -1;
	return 0;
}

int loaders_take(struct rank *r)
{
	const uint64_t batch = r->nr_batches;
	uint64_t loaded;

	if (!r->options->loaders)
		return 0;
	if (mesh_receive(r->loaders[batch % r->options->loaders], &loaded, sizeof(loaded), NULL))
		return fail_as_errno(r);
	if (loaded != batch)
		return rank_fail(r, "the number of a batch", CUDA_SUCCESS);
	RANK_TRY(r, cuMemcpyHtoD_v2, r->batch, slot_of(r, batch), BATCH_BYTES);
	r->nr_batches++;
	if (ask_for(r, batch + r->options->loaders))
		return -1;
	return rank_check_sum(r, r->batch, BATCH_WORDS,
			      pattern_expected(BATCH_WORDS, key_of(r, batch)), "a batch");
}
