// SPDX-License-Identifier: MIT
/*
 * Processes whose work waits for each other: `collectives RANKS DEVICES FILE`. Each launches
 * steps on its stream; in a step the device waits until all other ranks have reached the same
 * step, then writes the step's number to its memory. How far a rank launches ahead is random, so
 * at any moment one has launched what another has not. FILE, which exists, has a struct slot
 * for each rank. No device memory is shared. A lost, repeated or torn step ends the rank.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/driver/cuda_abi.h"
#include "common/driver/cuda_error.h"

#define MAX_RANKS 16
#define PART	  (1u << 20) /* bytes that a step writes */
#define NR_PARTS  4
#define MAX_AHEAD 6

struct slot {
	uint64_t pid, step; /* step 0: it is starting */
	uint64_t holds;	    /* set by the test: the device does not end the next step */
	uint64_t pad;
};

#define CALLS(X)                    \
	X(cuInit)                   \
	X(cuDevicePrimaryCtxRetain) \
	X(cuCtxSetCurrent)          \
	X(cuMemAlloc_v2)            \
	X(cuMemsetD8Async)          \
	X(cuMemcpyDtoH_v2)          \
	X(cuStreamCreate)           \
	X(cuStreamSynchronize)      \
	X(cuLaunchHostFunc)

static struct {
#define MEMBER(name) typeof(name) *name;
	CALLS(MEMBER)
#undef MEMBER
} cuda;

static struct slot *slots;
static int nr_ranks, own, peers[MAX_RANKS][MAX_RANKS];
static uint64_t met; /* steps that the device has done */

static void check(bool holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "rank %d, step %llu: %s\n", own, (unsigned long long)slots[own].step, what);
	_exit(1);
}

#define OK(call) check((call) == CUDA_SUCCESS, #call)

static void load_driver(void)
{
	void *driver = dlopen(getenv("CRIU_CUDA_DRIVER"), RTLD_NOW);

	check(driver, "dlopen");
#define LOAD(name) check((cuda.name = dlsym(driver, #name)), #name);
	CALLS(LOAD)
#undef LOAD
}

/* Runs in the stream: sends this step's number to all, and waits for that of each. */
static void meet(void *unused)
{
	volatile struct slot *slot = &slots[own];

	while (slot->holds)
		usleep(1000);
	met++;
	for (int i = 0; i < nr_ranks; i++)
		if (i != own)
			check(write(peers[own][i], &met, sizeof(met)) == sizeof(met), "write");
	for (int i = 0; i < nr_ranks; i++) {
		uint64_t theirs = 0;

		if (i == own)
			continue;
		check(read(peers[own][i], &theirs, sizeof(theirs)) == sizeof(theirs), "read");
		check(theirs == met, "another rank is in another step");
	}
}

/* The parts hold the last steps, as far as the stream has come. */
static void verify(CUdeviceptr memory, uint64_t step)
{
	static uint8_t bytes[PART];

	for (uint64_t s = step < NR_PARTS ? 1 : step - NR_PARTS + 1; s <= step; s++) {
		OK(cuda.cuMemcpyDtoH_v2(bytes, memory + s % NR_PARTS * PART, PART));
		for (size_t i = 0; i < PART; i++)
			check(bytes[i] == (uint8_t)s, "wrong bytes");
	}
}

__attribute__((noreturn)) static void run(int device)
{
	CUdeviceptr memory;
	CUcontext context;
	CUstream stream;
	uint64_t step = 0;

	load_driver();
	OK(cuda.cuInit(0));
	OK(cuda.cuDevicePrimaryCtxRetain(&context, device));
	OK(cuda.cuCtxSetCurrent(context));
	OK(cuda.cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
	OK(cuda.cuMemAlloc_v2(&memory, NR_PARTS * PART));
	srand(own + 1);
	for (;;) {
		for (int ahead = 1 + rand() % MAX_AHEAD; ahead; ahead--) {
			step++;
			OK(cuda.cuLaunchHostFunc(stream, meet, NULL));
			OK(cuda.cuMemsetD8Async(memory + step % NR_PARTS * PART, (uint8_t)step,
						PART, stream));
		}
		OK(cuda.cuStreamSynchronize(stream));
		if (!(rand() % 16))
			verify(memory, step);
		slots[own].step = step;
	}
}

int main(int argc, char **argv)
{
	const int fd = argc == 4 ? open(argv[3], O_RDWR | O_CLOEXEC) : -1;

	nr_ranks = argc == 4 ? atoi(argv[1]) : 0;
	if (nr_ranks < 2 || nr_ranks > MAX_RANKS || atoi(argv[2]) < 1 || fd < 0) {
		fputs("usage: collectives RANKS DEVICES FILE\n", stderr);
		return 2;
	}
	slots = mmap(NULL, MAX_RANKS * sizeof(*slots), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (slots == MAP_FAILED)
		return 1;
	close(fd);
	for (int i = 0; i < nr_ranks; i++)
		for (int k = i + 1; k < nr_ranks; k++) {
			int pair[2];

			check(!socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), "socketpair");
			peers[i][k] = pair[0];
			peers[k][i] = pair[1];
		}
	for (int i = 1; i < nr_ranks && !own; i++)
		if (!fork()) {
			own = i;
			prctl(PR_SET_PDEATHSIG, SIGKILL);
		}
	for (int i = 0; i < nr_ranks; i++)
		for (int k = 0; k < nr_ranks; k++)
			if (i != own && k != i)
				close(peers[i][k]);
	slots[own].pid = getpid();
	run(own % atoi(argv[2]));
}
