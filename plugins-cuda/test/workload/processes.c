// SPDX-License-Identifier: MIT
// Several threads or processes: verifying threads, and trees of processes.
#include "test/workload/workload_test.h"

#include <time.h>

#define PATIENCE_SECONDS 60

// Waits until a number in the status is at least `at_least`.
static void await_status(struct program *p, const char *key, unsigned long long at_least)
{
	const time_t end = time(NULL) + PATIENCE_SECONDS;

	do {
		CHECK(time(NULL) < end);
		ANSWER_STARTS(p, "status", "ok");
	} while (program_number(p, key) < at_least);
}

static void threads_verify_all_the_time(void)
{
	char *options[] = {"--alloc", "256Kx2", "--threads", "2", "--continuous", NULL};
	struct program p;

	program_start(&p, options);
	await_status(&p, "rounds", 20);
	CHECK(program_number(&p, "mismatch") == 0);
	ANSWER_STARTS(&p, "fill 9", "ok"); // they never see a partial fill
	ANSWER_STARTS(&p, "status", "ok");
	await_status(&p, "rounds", program_number(&p, "rounds") + 20);
	CHECK(program_number(&p, "mismatch") == 0);
	ANSWER_STARTS(&p, "poke 1 77", "ok");
	await_status(&p, "mismatch", 1);
	CHECK(!program_end(&p));
}

static void a_tree_answers_member_by_member(void)
{
	char *options[] = {"--alloc", "256Kx2", "--children", "2", NULL};
	static const char *const requests[] = {"verify", "child 0 verify", "child 1 verify"};
	unsigned long long pids[3];
	char checksums[3][17];
	struct program p;

	program_start(&p, options);
	ANSWER_STARTS(&p, "status", "ok");
	pids[0] = program_number(&p, "pid");
	ANSWER_STARTS(&p, "child 0 status", "ok");
	pids[1] = program_number(&p, "pid");
	ANSWER_STARTS(&p, "child 1 status", "ok");
	pids[2] = program_number(&p, "pid");
	CHECK(pids[0] != pids[1] && pids[0] != pids[2] && pids[1] != pids[2]);
	for (int i = 0; i < 3; i++)
		CHECK(state_of(pids[i]) == CU_PROCESS_STATE_RUNNING);

	// Each process has its own data.
	for (int i = 0; i < 3; i++) {
		ANSWER_STARTS(&p, requests[i], "ok checksum=");
		snprintf(checksums[i], sizeof(checksums[i]), "%.16s", p.line + 12);
		for (int k = 0; k < i; k++)
			CHECK(strcmp(checksums[i], checksums[k]));
	}
	ANSWER_STARTS(&p, "child 1 poke 0 5", "ok");
	ANSWER_STARTS(&p, "child 1 verify", "error verify allocation 0");
	ANSWER_STARTS(&p, "child 0 verify", "ok checksum=");
	ANSWER_STARTS(&p, "child 1 fill 4", "ok");
	ANSWER_STARTS(&p, "child 1 verify", "ok checksum=");
	ANSWER_STARTS(&p, "child 2 verify", "error child 2 verify there is no such child");

	ANSWER_STARTS(&p, "child 0 quit", "error quit the child has exited");
	ANSWER_STARTS(&p, "child 0 status", "error status the child has exited");
	ANSWER_STARTS(&p, "child 1 verify", "ok checksum=");
	CHECK(!program_end(&p));
}

static void a_parent_may_do_without_cuda(void)
{
	char *options[] = {"--alloc", "64K", "--children", "1", "--no-cuda-parent", NULL};
	struct program p;
	CUprocessState state;

	program_start(&p, options);
	ANSWER_STARTS(&p, "status", "ok");
	CHECK(program_number(&p, "allocations") == 0);
	ANSWER_STARTS(&p, "verify", "error verify this process does not use CUDA");
	ANSWER_STARTS(&p, "child 0 verify", "ok checksum=");
	RESULT_IS(cuCheckpointProcessGetState(p.pid, &state), CUDA_ERROR_NOT_INITIALIZED);
	CHECK(!program_end(&p));
}

static void a_child_that_cannot_start_is_named(void)
{
	char *options[] = {"--alloc", "40M", "--children", "1",
			   NULL}; // the device has room for one process only
	char text[4096];

	CHECK(program_fails(options, text, sizeof(text)) == 1);
	CHECK(strstr(text, "cuMemAlloc_v2: CUDA_ERROR_OUT_OF_MEMORY"));
}

static bool is_alive(pid_t pid)
{
	return !kill(pid, 0) || errno != ESRCH;
}

// Becomes the parent of orphans, so that it can wait for them.
static void children_end_with_their_parent(int signal)
{
	char *options[] = {"--alloc", "64K", "--children", "2", NULL};
	pid_t children[2];
	struct program p;
	int status;

	CHECK(!prctl(PR_SET_CHILD_SUBREAPER, 1));
	program_start(&p, options);
	ANSWER_STARTS(&p, "child 0 status", "ok");
	children[0] = program_number(&p, "pid");
	ANSWER_STARTS(&p, "child 1 status", "ok");
	children[1] = program_number(&p, "pid");
	if (signal) {
		CHECK(!kill(p.pid, signal));
		CHECK(waitpid(p.pid, &status, 0) == p.pid && WIFSIGNALED(status));
		fclose(p.to);
		fclose(p.from);
		free(p.line);
	} else {
		CHECK(!program_end(&p));
	}
	for (int i = 0; i < 2; i++) {
		CHECK(waitpid(children[i], &status, 0) == children[i]);
		CHECK(!is_alive(children[i]));
	}
}

int main(int argc, char **argv)
{
	CHECK(argc == 2);
	workload_path = argv[1];
	own_devices(1, 64);
	threads_verify_all_the_time();
	a_tree_answers_member_by_member();
	a_parent_may_do_without_cuda();
	a_child_that_cannot_start_is_named();
	children_end_with_their_parent(0);
	children_end_with_their_parent(SIGTERM);
	return 0;
}
