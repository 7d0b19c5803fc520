// SPDX-License-Identifier: MIT
/*
 * Description: events that processes share by CUDA IPC. What one records, another waits for, asks
 * about and sees complete; many events, many records, and several processes.
 */
#include "test/intercept/event_other.h"

#include <string.h>

static void each_sees_the_other(const struct other_process *other)
{
	share(&self, other, 0);
	/* Never recorded. */
	OK(DO(other, QUERY, .event = 0));
	OK(DO(other, SYNC, .event = 0));
	OK(DO(other, AWAIT, .event = 0, .stream = 2));
	OK(DO(other, DRAIN, .stream = 2));
	for (unsigned int stream = 0; stream < 4; stream++) {
		one_waits(&self, other, stream);
		one_waits(other, &self, stream);
	}
	drop(&self, other, 0);
}

/* torch.multiprocessing records first. */
static void recorded_before_it_is_opened(const struct other_process *other)
{
	struct outcome o;

	OK(DO(&self, CREATE, .event = 0, .value = SHARED | CU_EVENT_BLOCKING_SYNC));
	OK(DO(&self, HOLD, .stream = 2));
	OK(DO(&self, RECORD, .event = 0, .stream = 2));
	o = side_do(&self, TASK(GET, .event = 0));
	/* Nor is it lost when its owner destroys it at once. */
	OK(DO(&self, DESTROY, .event = 0));
	OK(DO(other, OPEN, .event = 0, .handle = o.handle));
	OK(DO(other, AWAIT, .event = 0, .stream = 2));
	FAILS(DO(other, IS_DONE, .stream = 2), CUDA_ERROR_NOT_READY);
	FAILS(DO(other, QUERY, .event = 0), CUDA_ERROR_NOT_READY);
	OK(DO(other, DESTROY, .event = 0));
	OK(DO(&self, RELEASE, .stream = 2));
	OK(DO(other, DRAIN, .stream = 2));
}

/* A wait is for the last record before it, whatever comes later. */
static void the_last_record_before(const struct other_process *other)
{
	share(&self, other, 0);
	OK(DO(other, HOLD, .stream = 2));
	OK(DO(other, RECORD, .event = 0, .stream = 2));
	OK(DO(&self, AWAIT, .event = 0, .stream = 3));
	OK(DO(&self, HOLD, .stream = 2));
	OK(DO(&self, RECORD, .event = 0, .stream = 2));
	OK(DO(other, AWAIT, .event = 0, .stream = 3));
	OK(DO(other, RELEASE, .stream = 2));
	OK(DO(&self, DRAIN, .stream = 3));
	FAILS(DO(other, IS_DONE, .stream = 3), CUDA_ERROR_NOT_READY);
	FAILS(DO(other, QUERY, .event = 0), CUDA_ERROR_NOT_READY);
	OK(DO(&self, RELEASE, .stream = 2));
	OK(DO(other, DRAIN, .stream = 3));
	/* The later record is complete, the earlier is not. */
	OK(DO(&self, HOLD, .stream = 2));
	OK(DO(&self, RECORD, .event = 0, .stream = 2));
	OK(DO(other, AWAIT, .event = 0, .stream = 2));
	OK(DO(&self, RECORD, .event = 0, .stream = 3));
	OK(DO(other, SYNC, .event = 0));
	OK(DO(other, AWAIT, .event = 0, .stream = 3));
	OK(DO(other, DRAIN, .stream = 3));
	FAILS(DO(other, IS_DONE, .stream = 2), CUDA_ERROR_NOT_READY);
	OK(DO(&self, RELEASE, .stream = 2));
	OK(DO(other, DRAIN, .stream = 2));
	drop(&self, other, 0);
}

/* More than a slot has words, by both, and none completes before the first. */
static void many_records(const struct other_process *other)
{
	share(&self, other, 0);
	OK(DO(&self, HOLD, .stream = 2));
	for (int i = 0; i < 20; i++)
		OK(DO(i % 3 ? &self : other, RECORD, .event = 0, .stream = i % 3 ? 2 : 3));
	OK(DO(other, AWAIT, .event = 0, .stream = 2));
	FAILS(DO(other, IS_DONE, .stream = 2), CUDA_ERROR_NOT_READY);
	OK(DO(&self, RELEASE, .stream = 2));
	OK(DO(other, DRAIN, .stream = 2));
	OK(DO(other, SYNC, .event = 0));
	drop(&self, other, 0);
}

/* torch has up to a thousand, and its consumer destroys none. */
static void many_events(const struct other_process *other)
{
	static CUevent events[2500];
	CUipcEventHandle handle;
	struct outcome o;

	for (int i = 0; i < 2500; i++) {
		OK(cuEventCreate(&events[i], SHARED));
		OK(cuEventRecord(events[i], NULL));
		OK(cuIpcGetEventHandle(&handle, events[i]));
	}
	CHECK(counts(&self, 0, 3));
	OK(DO(other, OPEN, .event = 0, .handle = handle));
	OK(DO(other, SYNC, .event = 0));
	CHECK(counts(other, 1, 0));
	OK(DO(other, DESTROY, .event = 0));
	for (int i = 0; i < 2500; i++)
		OK(cuEventDestroy_v2(events[i]));
	CHECK(counts(&self, 0, 0) && counts(other, 0, 0));
	/* Their slots are used again. */
	for (int i = 0; i < 5000; i++) {
		share(&self, other, 0);
		if (!(i % 1000))
			CHECK(counts(&self, 0, 1) && counts(other, 1, 0));
		drop(&self, other, 0);
	}
	CHECK(nr_mappings("criu-cuda-events") == 3);
	/* Also when what was recorded there last has not completed: it takes no other's place. */
	OK(DO(&self, HOLD, .stream = 2));
	for (int i = 0; i < 3000; i++) {
		OK(cuEventCreate(&events[0], SHARED));
		OK(cuEventRecord(events[0], CU_STREAM_PER_THREAD));
		OK(cuEventDestroy_v2(events[0]));
	}
	OK(DO(&self, CREATE, .event = 0, .value = SHARED));
	OK(DO(&self, RECORD, .event = 0, .stream = 2));
	o = side_do(&self, TASK(GET, .event = 0));
	OK(DO(&self, DESTROY, .event = 0));
	for (int i = 0; i < 4000; i++) {
		OK(cuEventCreate(&events[0], SHARED));
		OK(cuEventRecord(events[0], CU_STREAM_PER_THREAD));
		OK(cuEventDestroy_v2(events[0]));
	}
	OK(DO(other, OPEN, .event = 0, .handle = o.handle));
	FAILS(DO(other, QUERY, .event = 0), CUDA_ERROR_NOT_READY);
	OK(DO(&self, RELEASE, .stream = 2));
	OK(DO(other, SYNC, .event = 0));
	OK(DO(other, DESTROY, .event = 0));
}

static void several_openers(const char *program)
{
	struct other_process others[3];
	struct outcome o;

	OK(DO(&self, CREATE, .event = 0, .value = SHARED));
	o = side_do(&self, TASK(GET, .event = 0));
	for (int i = 0; i < 3; i++) {
		others[i] = other_process_start(program, false);
		OK(DO(&others[i], OPEN, .event = 0, .handle = o.handle));
		/* Each time another event, of the same records. */
		OK(DO(&others[i], OPEN, .event = 1, .handle = o.handle));
		CHECK(counts(&others[i], 1, 0));
	}
	OK(DO(&others[0], HOLD, .stream = 2));
	OK(DO(&others[0], RECORD, .event = 1, .stream = 2));
	FAILS(DO(&others[1], QUERY, .event = 0), CUDA_ERROR_NOT_READY);
	FAILS(DO(&others[2], QUERY, .event = 1), CUDA_ERROR_NOT_READY);
	FAILS(DO(&self, QUERY, .event = 0), CUDA_ERROR_NOT_READY);
	OK(DO(&others[0], DESTROY, .event = 0));
	OK(DO(&others[0], RELEASE, .stream = 2));
	OK(DO(&others[2], SYNC, .event = 0));
	side_kill(&others[1]);
	one_waits(&self, &others[2], 2);
	side_end(&others[0]);
	/* Its owner goes first. */
	OK(DO(&self, DESTROY, .event = 0));
	OK(DO(&others[2], RECORD, .event = 0, .stream = 3));
	OK(DO(&others[2], SYNC, .event = 1));
	side_end(&others[2]);
}

int main(int argc, char **argv)
{
	struct other_process other;

	if (argc == 2 && !strcmp(argv[1], "--serve"))
		side_serve();
	test_begin(argc, argv);
	test_cuda_begin();
	other = other_process_start(argv[0], false);
	each_sees_the_other(&other);
	recorded_before_it_is_opened(&other);
	the_last_record_before(&other);
	many_records(&other);
	many_events(&other);
	several_openers(argv[0]);
	side_end(&other);
	return 0;
}
