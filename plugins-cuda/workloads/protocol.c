// SPDX-License-Identifier: MIT
/* The line protocol; README.md lists the requests. */
#include "workloads/kinds.h"
#include "workloads/workloads.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

static double now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1e3 + now.tv_nsec / 1e6;
}

static void explain(const char *request, const struct failure *failure, char *reply, size_t size)
{
	snprintf(reply, size, "error %s %s: %s", request, failure->what,
		 failure->result ? ccr_cuda_error_name(failure->result) : "wrong data");
}

static void status(const struct workload *w, char *reply, size_t size)
{
	const bool cuda = w->context != NULL;

	snprintf(reply, size,
		 "ok pid=%d state=running device=\"%s\" software=%d allocations=%zu bytes=%" PRIu64
		 " rounds=%" PRIu64 " mismatch=%d",
		 getpid(), cuda ? w->device_name : "none",
		 strcasestr(w->device_name, "software") != NULL, w->nr_buffers, w->bytes,
		 __atomic_load_n(&w->rounds, __ATOMIC_RELAXED),
		 __atomic_load_n(&w->mismatch, __ATOMIC_RELAXED));
}

static int addresses(const struct workload *w, char *reply, size_t size, struct failure *failure)
{
	size_t used = snprintf(reply, size, "ok ");

	for (size_t i = 0; i < w->nr_buffers && used < size; i++)
		used += snprintf(reply + used, size - used, "%s0x%llx", i ? "," : "",
				 w->buffers[i].address);
	snprintf(failure->what, sizeof(failure->what),
		 "there are too many allocations for one line");
	failure->result = CUDA_ERROR_INVALID_VALUE;
	return used < size ? 0 : -1;
}

static int verify(struct workload *w, char *reply, size_t size, struct failure *failure)
{
	const double start = now_ms();
	uint64_t checksum;
	const int ret = workload_verify(w, &w->set, &checksum, failure);

	if (!ret)
		snprintf(reply, size, "ok checksum=%016" PRIx64 " bytes=%" PRIu64 " ms=%.3f",
			 checksum, w->bytes + w->options.host_bytes + w->options.pinned_bytes,
			 now_ms() - start);
	return ret;
}

static int memory(struct workload *w, char *reply, size_t size, struct failure *failure)
{
	size_t free_bytes, total;
	const CUresult result = w->cuda.cuMemGetInfo_v2(&free_bytes, &total);

	snprintf(reply, size, "ok free=%zu total=%zu", free_bytes, total);
	snprintf(failure->what, sizeof(failure->what), "cuMemGetInfo_v2");
	failure->result = result;
	return result ? -1 : 0;
}

static bool answer_kinds(const char *request, char *reply, size_t size)
{
	if (!strcmp(request, "kinds"))
		kinds_answer(reply, size);
	else if (!strcmp(request, "kinds change"))
		kinds_change();
	else if (!strcmp(request, "kinds drop"))
		snprintf(reply, size, kinds_drop() ? "ok" : "error kinds drop: not zeroes");
	else if (!strcmp(request, "kinds share"))
		snprintf(reply, size, kinds_share() ? "ok" : "error kinds share: not shared");
	else if (strcmp(request, "kinds exec"))
		return false;
	else if (kinds_make_executable())
		snprintf(reply, size, "error %s: %s", request, strerror(errno));
	return true;
}

bool protocol_answer(struct workload *w, const char *request, char *reply, size_t size)
{
	struct failure failure = {.result = CUDA_SUCCESS};
	unsigned long long seed, offset;
	size_t buffer;
	int ret = 0;

	snprintf(reply, size, "ok");
	if (!strcmp(request, "quit"))
		return false;
	if (!strcmp(request, "status")) {
		status(w, reply, size);
		return true;
	}
	if (w->options.kinds && answer_kinds(request, reply, size))
		return true;
	if (!w->context) {
		snprintf(reply, size,
			 "error %s this process does not use CUDA: CUDA_ERROR_NOT_INITIALIZED",
			 request);
		return true;
	}
	if (!strcmp(request, "verify"))
		ret = verify(w, reply, size, &failure);
	else if (!strcmp(request, "addresses"))
		ret = addresses(w, reply, size, &failure);
	else if (!strcmp(request, "mem"))
		ret = memory(w, reply, size, &failure);
	else if (!strcmp(request, "pause"))
		snprintf(reply, size, "ok ms=%.3f", workload_longest_pause(w) / 1e6);
	else if (sscanf(request, "fill %llu", &seed) == 1)
		ret = workload_fill(w, seed, &failure);
	else if (sscanf(request, "poke %zu %llu", &buffer, &offset) == 2)
		ret = workload_poke(w, buffer, offset, &failure);
	else if (!strcmp(request, "spin start") || !strcmp(request, "spin stop"))
		ret = workload_spin(w, !strcmp(request, "spin start"), &failure);
	else
		snprintf(reply, size, "error %.60s unknown request: CUDA_ERROR_INVALID_VALUE",
			 request);
	if (ret)
		explain(request, &failure, reply, size);
	return true;
}
