// SPDX-License-Identifier: MIT
// One process over standard input: what it allocates, how it answers, and that it finds wrong
// bytes.
#include "test/workload/workload_test.h"

#define MAX_ADDRESSES 64

static char options_error[4096];

static size_t read_addresses(struct program *p, unsigned long long *out)
{
	size_t nr = 0;
	char *at, *end;

	ANSWER_STARTS(p, "addresses", "ok ");
	for (at = p->line + 3; *at && nr < MAX_ADDRESSES; at = *end ? end + 1 : end)
		out[nr++] = strtoull(at, &end, 16);
	return nr;
}

static void verify_says(struct program *p, char *checksum)
{
	ANSWER_STARTS(p, "verify", "ok checksum=");
	memcpy(checksum, p->line + strlen("ok checksum="), 16);
	checksum[16] = '\0';
}

static void holds_what_was_asked_for(char *vmm)
{
	char *options[] = {"--alloc", "3M",	  "--alloc", "64Kx5", "--host",
			   "1M",      "--pinned", "512K",    vmm,     NULL};
	unsigned long long addresses[MAX_ADDRESSES];
	struct program p;
	size_t before;

	program_start(&p, options);
	ANSWER_STARTS(&p, "status", "ok pid=");
	CHECK(program_number(&p, "software") == 1);
	CHECK(strstr(p.line, "state=running device=\"") && strcasestr(p.line, "software"));
	CHECK(program_number(&p, "allocations") == 6);
	CHECK(program_number(&p, "bytes") == 3 * MIB + 5 * 65536);
	CHECK(program_number(&p, "mismatch") == 0);
	CHECK(read_addresses(&p, addresses) == 6);
	for (int i = 0; i < 6; i++)
		for (int k = 0; k < i; k++)
			CHECK(addresses[i] && addresses[i] % 8 == 0 &&
			      (addresses[i] >= addresses[k] + 65536 ||
			       addresses[k] >= addresses[i] + 65536));
	ANSWER_STARTS(&p, "verify", "ok checksum=");
	CHECK(program_number(&p, "bytes") == 3 * MIB + 5 * 65536 + MIB + MIB / 2);
	ANSWER_STARTS(&p, "mem", "ok free=");
	before = program_number(&p, "free");
	CHECK(program_number(&p, "total") == 64 * MIB && before <= 64 * MIB - 3 * MIB - 5 * 65536);
	CHECK(!program_end(&p));
}

static void fill_decides_the_checksum(void)
{
	char *options[] = {"--alloc", "1Mx3",	"--streams", "2", "--seed",
			   "5",	      "--host", "64K",	     NULL};
	char first[17], other[17], again[17];
	struct program p;

	program_start(&p, options);
	verify_says(&p, first);
	ANSWER_STARTS(&p, "fill 6", "ok");
	verify_says(&p, other);
	CHECK(strcmp(first, other));
	ANSWER_STARTS(&p, "fill 5", "ok");
	verify_says(&p, again);
	CHECK(!strcmp(first, again));
	CHECK(!program_end(&p));
}

// In each allocation, at both ends and in the middle.
static void finds_one_flipped_bit(void)
{
	static const unsigned long sizes[] = {MIB, MIB, 65544};
	char *options[] = {"--alloc", "1Mx2", "--alloc", "65544", NULL};
	char request[64], expected[64], checksum[17], after[17];
	struct program p;

	program_start(&p, options);
	verify_says(&p, checksum);
	for (int i = 0; i < 3; i++) {
		const unsigned long offsets[] = {0, 4097, sizes[i] - 1};

		snprintf(expected, sizeof(expected), "error verify allocation %d has", i);
		for (int k = 0; k < 3; k++) {
			snprintf(request, sizeof(request), "poke %d %lu", i, offsets[k]);
			ANSWER_STARTS(&p, request, "ok");
			ANSWER_STARTS(&p, "verify", expected);
			CHECK(strstr(p.line, "wrong data"));
			ANSWER_STARTS(&p, request, "ok");
		}
	}
	verify_says(&p, after);
	CHECK(!strcmp(checksum, after));
	snprintf(request, sizeof(request), "poke 2 %lu", sizes[2]);
	ANSWER_STARTS(&p, request, "error poke 2 65544 ");
	ANSWER_STARTS(&p, "poke 3 0", "error ");
	CHECK(!program_end(&p));
}

static void a_spinning_kernel_keeps_the_lock_away(void)
{
	char *options[] = {"--alloc", "1M", NULL};
	CUcheckpointLockArgs soon = {.timeoutMs = 100}, later = {.timeoutMs = 20000};
	struct program p;

	program_start(&p, options);
	ANSWER_STARTS(&p, "spin start", "ok");
	ANSWER_STARTS(&p, "spin start", "error spin start a kernel is spinning");
	ANSWER_STARTS(&p, "fill 3", "error fill 3 a kernel is spinning");
	ANSWER_STARTS(&p, "verify", "ok");
	RESULT_IS(cuCheckpointProcessLock(p.pid, &soon), CUDA_ERROR_NOT_READY);
	CHECK(state_of(p.pid) == CU_PROCESS_STATE_RUNNING);
	ANSWER_STARTS(&p, "spin stop", "ok");
	OK(cuCheckpointProcessLock(p.pid, &later));
	OK(cuCheckpointProcessUnlock(p.pid, NULL));
	ANSWER_STARTS(&p, "fill 3", "ok");
	// It exits at the end of input even if a kernel is running.
	ANSWER_STARTS(&p, "spin start", "ok");
	CHECK(!program_end(&p));
}

static void refuses_what_it_does_not_know(void)
{
	char *options[] = {"--alloc", "64K", NULL};
	char request[600];
	struct program p;

	program_start(&p, options);
	ANSWER_STARTS(&p, "dance", "error dance unknown request: CUDA_ERROR_INVALID_VALUE");
	ANSWER_STARTS(&p, "child 0 status", "error ");
	memset(request, 'x', sizeof(request) - 1);
	request[sizeof(request) - 1] = '\0';
	ANSWER_STARTS(&p, request, "error the request is too long");
	ANSWER_STARTS(&p, "verify", "ok"); // exactly one answer per line
	CHECK(!program_end(&p));
}

static void refuses_wrong_options(void)
{
	static char *const wrong[][5] = {
		{"--alloc", "12"},  {"--alloc", "0"},	  {"--alloc", "1Q"},
		{"--alloc", "1Mx"}, {"--alloc", "-8"},	  {"--alloc", "99999999999G"},
		{"--host", "4Kx2"}, {"--streams", "0"},	  {"--streams", "99"},
		{"--seed", "one"},  {"--no-such-option"}, {"more"},
	};
	char *too_much[] = {"--alloc", "1G", NULL}, *no_device[] = {"--device", "7", NULL};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		CHECK(program_fails(wrong[i], options_error, sizeof(options_error)) == 2);
		CHECK(strstr(options_error, "usage: workload-pattern"));
	}
	CHECK(program_fails(too_much, options_error, sizeof(options_error)) == 1);
	CHECK(strstr(options_error, "cuMemAlloc_v2: CUDA_ERROR_OUT_OF_MEMORY"));
	CHECK(program_fails(no_device, options_error, sizeof(options_error)) == 1);
	CHECK(strstr(options_error, "cuDeviceGet: CUDA_ERROR_INVALID_DEVICE"));
}

static void names_the_driver_it_cannot_open(void)
{
	const char *driver = getenv("CRIU_CUDA_DRIVER");
	char *kept = driver ? strdup(driver) : NULL, *options[] = {NULL};

	CHECK(kept);
	setenv("CRIU_CUDA_DRIVER", "/no/such/libcuda.so.1", 1);
	CHECK(program_fails(options, options_error, sizeof(options_error)) == 1);
	CHECK(strstr(options_error, "/no/such/libcuda.so.1"));
	setenv("CRIU_CUDA_DRIVER", kept, 1);
	free(kept);
}

int main(int argc, char **argv)
{
	CHECK(argc == 2);
	workload_path = argv[1];
	own_devices(1, 64);
	holds_what_was_asked_for(NULL);
	holds_what_was_asked_for("--vmm");
	fill_decides_the_checksum();
	finds_one_flipped_bit();
	a_spinning_kernel_keeps_the_lock_away();
	refuses_what_it_does_not_know();
	refuses_wrong_options();
	names_the_driver_it_cannot_open();
	return 0;
}
