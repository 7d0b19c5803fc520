// SPDX-License-Identifier: MIT
// Description: workload-ranks on the software driver: the ranks agree, and a wrong bit is noticed.
#include "test/workload/workload_test.h"

static void go(struct program *p, const char *step)
{
	char request[32];

	snprintf(request, sizeof(request), "await %s", step);
	ANSWER_STARTS(p, "start", "ok");
	ANSWER_STARTS(p, request, "ok");
	ANSWER_STARTS(p, "stop", "ok running=0");
}

// The answer of `sum`, from "acc=" on, after about 20 steps and then more of them.
static void ranks_agree(char *const options[], int ranks)
{
	unsigned long long step;
	struct program p;
	int commas = 0;

	program_start(&p, options);
	go(&p, "20");
	step = program_number(&p, "step");
	CHECK(step >= 20);
	ANSWER_STARTS(&p, "sum", "ok running=0");
	CHECK(program_number(&p, "step") == step);
	go(&p, "60");
	CHECK(program_number(&p, "step") >= 60);
	ANSWER_STARTS(&p, "sum", "ok running=0");
	ANSWER_STARTS(&p, "status", "ok running=0");
	for (const char *at = strstr(p.line, "pids="); *at; at++)
		commas += *at == ',';
	CHECK(commas == ranks - 1);
	CHECK(!program_end(&p));
}

static void a_wrong_bit_is_noticed(void)
{
	char *options[] = {"--ranks", "2", NULL};
	struct program p;

	// By the verification, which every rank makes with its own mapping.
	program_start(&p, options);
	go(&p, "4");
	ANSWER_STARTS(&p, "poke 1", "ok");
	ANSWER_STARTS(&p, "sum", "error rank 0: a buffer: wrong data");
	CHECK(!program_end(&p));
	// By the next steps, in all ranks; the loop ends.
	program_start(&p, options);
	go(&p, "4");
	ANSWER_STARTS(&p, "poke 0", "ok");
	ANSWER_STARTS(&p, "start", "ok");
	ANSWER_STARTS(&p, "await 1000000", "error rank 0: the sum of a step is wrong");
	CHECK(!program_end(&p));
}

int main(int argc, char **argv)
{
	char *vmm[] = {"--ranks", "3", "--devices", "2", NULL};
	char *eight[] = {"--ranks", "8", "--devices", "4", "--lead", "--tcp",
			 "--alloc", "4", "--depth",   "3", NULL};
	char *ipc[] = {"--share", "ipc", "--ranks", "2", NULL};
	char *host[] = {"--share", "host", "--ranks", "3", "--loaders", "2", NULL};

	CHECK(argc > 1);
	workload_path = argv[1];
	own_devices(4, 256);
	ranks_agree(vmm, 3);
	ranks_agree(eight, 8);
	ranks_agree(ipc, 2);
	ranks_agree(host, 3);
	a_wrong_bit_is_noticed();
	return 0;
}
