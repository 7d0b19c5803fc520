// SPDX-License-Identifier: MIT
#include "test/intercept/event_other.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static CUevent events[NR_EVENTS];
static CUstream streams[4];
static uint64_t *flags; /* of each stream: 1 lets it run */

static void begin(void)
{
	OK(cuMemHostAlloc((void **)&flags, sizeof(streams), CU_MEMHOSTALLOC_DEVICEMAP));
	streams[1] = CU_STREAM_PER_THREAD;
	for (int i = 2; i < 4; i++)
		OK(cuStreamCreate(&streams[i], CU_STREAM_NON_BLOCKING));
}

static CUresult hold(unsigned int stream)
{
	__atomic_store_n(&flags[stream], 0, __ATOMIC_SEQ_CST);
	return cuStreamWaitValue64_v2(streams[stream], (uintptr_t)&flags[stream], 1,
				      CU_STREAM_WAIT_VALUE_GEQ);
}

static CUresult fork_child(void)
{
	int status;
	const pid_t child = fork();

	if (!child)
		_exit(0);
	CHECK(waitpid(child, &status, 0) == child && !status);
	return CUDA_SUCCESS;
}

/* After the first that breaks off nothing has changed, and after the second it is evicted. */
static CUresult evict(enum pool_break evict_stop, enum pool_break attach_stop)
{
	struct pool_reply r = pool_evict(60000, evict_stop);

	if (evict_stop != BREAK_NEVER)
		return CUDA_SUCCESS;
	CHECK(!r.error);
	if (attach_stop != BREAK_NEVER)
		pool_attach(CCR_ATTACH_ADOPT, SOURCE_KEPT, attach_stop);
	r = pool_attach(CCR_ATTACH_ADOPT, SOURCE_KEPT, BREAK_NEVER);
	pool_commit();
	return r.error ? CUDA_ERROR_UNKNOWN : CUDA_SUCCESS;
}

static CUresult perform(const struct task *t, struct outcome *o)
{
	CUevent *event = &events[t->event];

	switch (t->step) {
	case CREATE:
		return cuEventCreate(event, (unsigned int)t->value);
	case GET:
		return cuIpcGetEventHandle(&o->handle, *event);
	case OPEN:
		return cuIpcOpenEventHandle(event, t->handle);
	case DESTROY:
		return cuEventDestroy_v2(*event);
	case RECORD:
		return cuEventRecord(*event, streams[t->stream]);
	case QUERY:
		return cuEventQuery(*event);
	case SYNC:
		return cuEventSynchronize(*event);
	case AWAIT:
		return cuStreamWaitEvent(streams[t->stream], *event, 0);
	case HOLD:
		return hold(t->stream);
	case RELEASE:
		__atomic_store_n(&flags[t->stream], 1, __ATOMIC_SEQ_CST);
		return CUDA_SUCCESS;
	case IS_DONE:
		return cuStreamQuery(streams[t->stream]);
	case DRAIN:
		return cuStreamSynchronize(streams[t->stream]);
	case FORK:
		return fork_child();
	case NUMBERS:
		CHECK(!ccr_mailbox_read(getpid(), &o->mailbox, NULL));
		return CUDA_SUCCESS;
	case EVICT:
		return evict(t->evict_stop, t->attach_stop);
	}
	return CUDA_ERROR_INVALID_VALUE;
}

static struct outcome outcome_of(const struct task *task)
{
	struct outcome outcome;

	memset(&outcome, 0, sizeof(outcome));
	if (!flags)
		begin();
	outcome.result = perform(task, &outcome);
	return outcome;
}

void side_serve(void)
{
	struct task task;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	test_cuda_begin();
	while (read(STDIN_FILENO, &task, sizeof(task)) == sizeof(task)) {
		const struct outcome outcome = outcome_of(&task);

		CHECK(write(STDOUT_FILENO, &outcome, sizeof(outcome)) == sizeof(outcome));
	}
	exit(0);
}

void side_kill(struct other_process *side)
{
	kill(side->pid, SIGKILL);
	other_process_end(side, SIGKILL);
}

void side_end(struct other_process *side)
{
	other_process_end(side, 0);
}

void side_begin(const struct other_process *side, struct task task)
{
	CHECK(write(side->to, &task, sizeof(task)) == sizeof(task));
}

struct outcome side_take(const struct other_process *side)
{
	struct outcome outcome;

	CHECK(read(side->from, &outcome, sizeof(outcome)) == sizeof(outcome));
	return outcome;
}

struct outcome side_do(const struct other_process *side, struct task task)
{
	if (side->to < 0)
		return outcome_of(&task);
	side_begin(side, task);
	return side_take(side);
}

/* --- what tests do with them --- */

const struct other_process self = {.to = -1};

struct ccr_mailbox numbers(const struct other_process *side)
{
	return side_do(side, TASK(NUMBERS)).mailbox;
}

bool counts(const struct other_process *side, uint64_t imports, uint64_t exports)
{
	const struct ccr_mailbox m = numbers(side);

	return m.event_imports == imports && m.event_exports == exports && !m.imports &&
	       !m.exports && !m.ipc_events;
}

int nr_mappings(const char *text)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512];
	int nr = 0;

	CHECK(maps);
	while (fgets(line, sizeof(line), maps))
		nr += strstr(line, text) != NULL;
	fclose(maps);
	return nr;
}

CUipcEventHandle share(const struct other_process *owner, const struct other_process *other,
		       unsigned int event)
{
	struct outcome o;

	OK(DO(owner, CREATE, .event = event, .value = SHARED));
	o = side_do(owner, TASK(GET, .event = event));
	OK(o.result);
	OK(DO(other, OPEN, .event = event, .handle = o.handle));
	return o.handle;
}

void drop(const struct other_process *one, const struct other_process *two, unsigned int event)
{
	OK(DO(one, DESTROY, .event = event));
	OK(DO(two, DESTROY, .event = event));
}

void one_waits(const struct other_process *one, const struct other_process *two,
	       unsigned int stream)
{
	OK(DO(one, HOLD, .stream = stream));
	OK(DO(one, RECORD, .event = 0, .stream = stream));
	FAILS(DO(one, QUERY, .event = 0), CUDA_ERROR_NOT_READY);
	FAILS(DO(two, QUERY, .event = 0), CUDA_ERROR_NOT_READY);
	OK(DO(two, AWAIT, .event = 0, .stream = stream));
	FAILS(DO(two, IS_DONE, .stream = stream), CUDA_ERROR_NOT_READY);
	if (two->to >= 0)
		side_begin(two, TASK(SYNC, .event = 0));
	OK(DO(one, RELEASE, .stream = stream));
	OK(two->to >= 0 ? side_take(two).result : DO(two, SYNC, .event = 0));
	OK(DO(two, QUERY, .event = 0));
	OK(DO(two, DRAIN, .stream = stream));
	OK(DO(one, SYNC, .event = 0));
	OK(DO(one, QUERY, .event = 0));
}
