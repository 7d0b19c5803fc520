// SPDX-License-Identifier: MIT
#include "test/intercept/ipc_other.h"
#include "common/kernels.h"
#include "common/protocol/mailbox.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static const char ptx[] = ".version 7.0\n.target sm_70\n.address_size 64\n"
			  ".visible .entry ccr_fill_u64(.param .u64 a){ret;}\n";

static CUresult run_kernel(CUdeviceptr at)
{
	uint64_t words = 1024, first = 0, key = 5;
	void *params[] = {&at, &words, &first, &key};
	CUfunction function;
	CUmodule module;

	OK(cuModuleLoadData(&module, ptx));
	OK(cuModuleGetFunction(&function, module, "ccr_fill_u64"));
	OK(cuLaunchKernel(function, 1, 1, 1, 32, 1, 1, 0, NULL, params, NULL));
	return cuCtxSynchronize();
}

void fork_and_end(void)
{
	int status;
	pid_t child = fork();

	if (!child)
		_exit(0);
	CHECK(waitpid(child, &status, 0) == child && !status);
}

static void obey(const struct command *c, struct answer *a)
{
	struct ccr_mailbox mailbox = {0};
	CUdeviceptr base;
	size_t size;

	OK(cuCtxSetCurrent(test_context(c->device)));
	switch (c->what) {
	case OPEN:
		a->result = cuIpcOpenMemHandle_v2(&a->at, c->handle, c->flags);
		break;
	case CLOSE:
		a->result = cuIpcCloseMemHandle(c->at);
		break;
	case FREE:
		a->result = cuMemFree_v2(c->at);
		break;
	case RANGE:
		a->result = cuMemGetAddressRange_v2(&base, &size, c->at + 7);
		a->at = base;
		a->size = size;
		break;
	case HOLDS:
		a->holds = holds(c->at, BYTES, c->seed);
		break;
	case FILL:
		fill(c->at, BYTES, c->seed);
		break;
	case KERNEL:
		a->result = run_kernel(c->at);
		break;
	case FORK:
		fork_and_end();
		break;
	case NUMBERS:
		CHECK(!ccr_mailbox_read(getpid(), &mailbox, NULL));
		a->imports = mailbox.imports;
		a->kept_imports = mailbox.kept_imports;
		break;
	case GET: /* of new memory with the pattern of `seed` */
		OK(cuMemAlloc_v2(&a->at, BYTES));
		fill(a->at, BYTES, c->seed);
		a->result = cuIpcGetMemHandle(&a->handle, c->at ? c->at : a->at);
		break;
	}
}

void other_serve(void)
{
	struct command command;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	test_cuda_begin();
	while (read(STDIN_FILENO, &command, sizeof(command)) == sizeof(command)) {
		struct answer answer = {0};

		obey(&command, &answer);
		CHECK(write(STDOUT_FILENO, &answer, sizeof(answer)) == sizeof(answer));
	}
	exit(0);
}

struct answer other_tell(const struct other_process *other, struct command command)
{
	struct answer answer;

	CHECK(write(other->to, &command, sizeof(command)) == sizeof(command));
	CHECK(read(other->from, &answer, sizeof(answer)) == sizeof(answer));
	return answer;
}
