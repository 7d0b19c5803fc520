// SPDX-License-Identifier: MIT
/* Description: NCCL, torch's CUDA IPC, neighbors on a GPU; and what must not be mistaken for them.
 */
#include <stdlib.h>
#include <string.h>

#include "common/protocol/protocol.h"
#include "test/look/look_test.h"

#define NCCL_LIBRARY "7f1000000000-7f1000010000 r-xp 00000000 08:02 7 /opt/libnccl.so.2"
#define NCCL_SEGMENT                                        \
	"7f3000000000-7f3000900000 rw-s 00000000 00:1a 77 " \
	"/dev/shm/nccl-Xa81Bc (deleted)"
#define COUNTERS "7f4000000000-7f4000014000 rw-s 00000000 00:1a %d /dev/shm/torch_123_4_5 (deleted)"

static void two_ranks(void)
{
	fake_process(ROOT_PID, 0);
	fake_cuda(CHILD_PID, ROOT_PID);
	fake_cuda(OTHER_PID, ROOT_PID);
	fake_map(CHILD_PID, NCCL_LIBRARY);
	fake_map(OTHER_PID, NCCL_LIBRARY);
}

static void test_nccl_segment(void)
{
	two_ranks();
	CHECK(look_finds(""));
	fake_map(CHILD_PID, NCCL_SEGMENT);
	fake_map(OTHER_PID, NCCL_SEGMENT);
	CHECK(look_finds("nccl 5000001, nccl 5000002"));
	CHECK(ccr_look_refuses(look_at(), false) && !ccr_look_refuses(look_at(), true));
}

static void test_nccl_threads(void)
{
	two_ranks();
	/* vLLM on one GPU: a communicator with one rank */
	fake_thread(CHILD_PID, CHILD_PID + 10, "NCCL Progress 0", "S (sleeping)", 0);
	CHECK(look_finds(""));
	fake_thread(OTHER_PID, OTHER_PID + 20, "NCCL Service 0", "S (sleeping)", 0);
	CHECK(look_finds("nccl 5000001, nccl 5000002"));
}

/* On two H200, NCCL names no thread and leaves no segment. */
static void test_nccl_torch(void)
{
	two_ranks();
	fake_thread(CHILD_PID, CHILD_PID + 10, "pt_nccl_watchdg", "S (sleeping)", 0);
	CHECK(look_finds(""));
	fake_thread(OTHER_PID, OTHER_PID + 20, "pt_nccl_watchdg", "S (sleeping)", 0);
	CHECK(look_finds("nccl 5000001, nccl 5000002"));
}

static void map_counters(pid_t pid, int inode)
{
	char line[128];

	snprintf(line, sizeof(line), COUNTERS, inode);
	fake_map(pid, line);
}

static void test_ipc_segment(void)
{
	two_ranks();
	fake_map(CHILD_PID,
		 "7f5000000000-7f5000001000 rw-s 00000000 00:1a 78 /dev/shm/cuda.shm.0.1d9.1");
	CHECK(look_finds("ipc-segment 5000001"));
	CHECK(ccr_look_refuses(look_at(), false) && !ccr_look_refuses(look_at(), true));
}

static void test_ipc(void)
{
	two_ranks();
	map_counters(CHILD_PID, 31);
	map_counters(OTHER_PID, 32);
	CHECK(look_finds(""));
	map_counters(OTHER_PID, 31);
	CHECK(look_finds("cuda-ipc 5000001, cuda-ipc 5000002"));
	CHECK(!ccr_look_refuses(look_at(), false));
}

/* DataLoader's workers share CPU tensors of any size, and have no CUDA. */
static void test_data_loader(void)
{
	fake_cuda(ROOT_PID, 0);
	fake_process(CHILD_PID, ROOT_PID);
	map_counters(ROOT_PID, 31);
	map_counters(CHILD_PID, 31);
	fake_map(ROOT_PID, "7f5000000000-7f5000900000 rw-s 00000000 00:1a 40 /dev/shm/torch_123_9");
	fake_map(CHILD_PID,
		 "7f5000000000-7f5000900000 rw-s 00000000 00:1a 40 /dev/shm/torch_123_9");
	CHECK(look_finds(""));
}

/* Both processes have the interceptor, and what they share is theirs alone. */
static void test_shared_in_tree(void)
{
	struct ccr_mailbox importer = quiet_mailbox, exporter = quiet_mailbox;

	importer.imports = importer.kept_imports = 3;
	exporter.exports = exporter.kept_exports = 2;
	fake_cuda(ROOT_PID, 0);
	fake_cuda(CHILD_PID, ROOT_PID);
	fake_interceptor(ROOT_PID, &importer);
	fake_interceptor(CHILD_PID, &exporter);
	request.uses_pool = true;
	CHECK(look_finds(""));
	/* One of them by CUDA IPC. */
	importer.imports = 4;
	fake_interceptor(ROOT_PID, &importer);
	CHECK(look_finds("imported-memory 5000000"));
	importer.imports = 3;
	fake_interceptor(ROOT_PID, &importer);
	/* The exporter is not in the tree. */
	exporter.exports = exporter.kept_exports = 0;
	fake_interceptor(CHILD_PID, &exporter);
	CHECK(look_finds("imported-memory 5000000"));
	CHECK(ccr_look_refuses(look_at(), true));
	/* The driver saves all memory. */
	exporter.exports = exporter.kept_exports = 2;
	fake_interceptor(CHILD_PID, &exporter);
	request.uses_pool = false;
	CHECK(look_finds("imported-memory 5000000, exported-memory 5000001"));
}

/* Also when all memory can be dumped; and when nothing else is shared. */
static void test_events(void)
{
	struct ccr_mailbox importer = quiet_mailbox, exporter = quiet_mailbox;

	importer.imports = importer.kept_imports = exporter.exports = exporter.kept_exports = 1;
	exporter.ipc_events = 3;
	fake_cuda(ROOT_PID, 0);
	fake_cuda(CHILD_PID, ROOT_PID);
	fake_interceptor(ROOT_PID, &importer);
	fake_interceptor(CHILD_PID, &exporter);
	request.uses_pool = true;
	CHECK(look_finds("ipc-events 5000001"));
	CHECK(!strcmp(detail_of(CCR_LOOK_IPC_EVENTS),
		      "it shares 3 events with a process without the interceptor"));
	CHECK(ccr_look_refuses(look_at(), false) && !ccr_look_refuses(look_at(), true));
	importer.imports = importer.kept_imports = exporter.exports = exporter.kept_exports = 0;
	importer.ipc_events = 1;
	fake_interceptor(ROOT_PID, &importer);
	fake_interceptor(CHILD_PID, &exporter);
	CHECK(look_finds("ipc-events 5000000, ipc-events 5000001"));
	/* Those of the interceptor move, if both are in the tree and go through the pool. */
	exporter.ipc_events = importer.ipc_events = 0;
	importer.event_opens = 9;
	exporter.event_exports = exporter.event_pages = 1;
	for (int is_open = 0; is_open < 2; is_open++) {
		importer.event_imports = is_open;
		fake_interceptor(ROOT_PID, &importer);
		fake_interceptor(CHILD_PID, &exporter);
		CHECK(look_finds(""));
	}
	request.uses_pool = false;
	CHECK(look_finds("ipc-events 5000000, ipc-events 5000001"));
	request.uses_pool = true;
	/* It has destroyed them, and the other still has them open. */
	exporter.event_exports = 0;
	fake_interceptor(CHILD_PID, &exporter);
	CHECK(look_finds(""));
	exporter.event_pages = 0;
	fake_interceptor(CHILD_PID, &exporter);
	CHECK(look_finds("ipc-events 5000000"));
	CHECK(!strcmp(detail_of(CCR_LOOK_IPC_EVENTS),
		      "it has opened events of a process outside the tree"));
	importer.event_imports = importer.event_opens = 0;
	importer.event_exports = importer.event_pages = 1;
	fake_interceptor(ROOT_PID, &importer);
	CHECK(look_finds("ipc-events 5000000"));
	CHECK(!strcmp(detail_of(CCR_LOOK_IPC_EVENTS),
		      "a process outside the tree may have opened its events"));
	importer.event_exports = 0;
	fake_interceptor(ROOT_PID, &importer);
	CHECK(look_finds(""));
}

static void test_multicast(void)
{
	struct ccr_mailbox mailbox = quiet_mailbox;

	fake_cuda(ROOT_PID, 0);
	mailbox.multicasts = 2;
	fake_interceptor(ROOT_PID, &mailbox);
	CHECK(look_finds("multicast 5000000"));
	CHECK(!strcmp(detail_of(CCR_LOOK_MULTICAST), "it has made 2 of them"));
	CHECK(ccr_look_refuses(look_at(), true));
	mailbox.multicasts = 0;
	fake_interceptor(ROOT_PID, &mailbox);
	CHECK(look_finds(""));
}

/* The interceptor counts; what is only evidence then says nothing. */
static void test_counters(void)
{
	struct ccr_mailbox mailbox = quiet_mailbox;

	fake_cuda(ROOT_PID, 0);
	fake_map(ROOT_PID, NCCL_SEGMENT);
	fake_interceptor(ROOT_PID, &mailbox);
	CHECK(look_finds(""));
	mailbox.imports = 2;
	fake_interceptor(ROOT_PID, &mailbox);
	CHECK(look_finds("imported-memory 5000000"));
	CHECK(!strcmp(detail_of(CCR_LOOK_IMPORTED_MEMORY), "it has imported 2 allocations"));
	CHECK(ccr_look_refuses(look_at(), true));
	mailbox.imports = 0;
	mailbox.exports = 1;
	fake_interceptor(ROOT_PID, &mailbox);
	CHECK(look_finds("exported-memory 5000000"));
	CHECK(ccr_look_refuses(look_at(), false) && !ccr_look_refuses(look_at(), true));
	/* an interceptor that does not count yet */
	mailbox.size = offsetof(struct ccr_mailbox, imports);
	fake_interceptor(ROOT_PID, &mailbox);
	CHECK(look_finds(""));
}

static void test_protocol(void)
{
	struct ccr_mailbox mailbox = quiet_mailbox;

	fake_cuda(ROOT_PID, 0);
	request.uses_pool = true;
	fake_interceptor(ROOT_PID, NULL); /* of a version without a mailbox */
	CHECK(look_finds("protocol 5000000"));
	fake_interceptor(ROOT_PID, &mailbox);
	CHECK(look_finds(""));
	mailbox.protocol = CCR_PROTOCOL_VERSION + 1;
	fake_interceptor(ROOT_PID, &mailbox);
	CHECK(look_finds("protocol 5000000"));
	CHECK(!strcmp(detail_of(CCR_LOOK_PROTOCOL),
		      "it speaks protocol 5, this version understands protocols 3 to 4"));
	request.falls_back = true; /* to the driver */
	CHECK(look_finds("interceptor 5000000"));
	CHECK(!ccr_look_refuses(look_at(), false));
	request.uses_pool = false; /* the driver moves its memory anyway */
	CHECK(look_finds(""));
}

static void test_neighbor(void)
{
	fake_cuda(ROOT_PID, 0);
	setenv("LOOK_TEST_NVML", "5000000:0:1048576 77:1:99 78:0:99", 1);
	CHECK(look_finds("")); /* it ends, and needs no memory back */
	request.keeps_running = true;
	CHECK(look_finds("shared-gpu 5000000"));
	CHECK(!strcmp(detail_of(CCR_LOOK_SHARED_GPU), "78 on GPU 0"));
	setenv("LOOK_TEST_NVML", "5000000:0:1048576 77:1:99", 1);
	CHECK(look_finds(""));
}

int main(int argc, char **argv)
{
	void (*const tests[])(void) = {
		test_nccl_torch, test_nccl_segment,   test_nccl_threads, test_ipc_segment,
		test_ipc,	 test_data_loader,    test_counters,	 test_protocol,
		test_neighbor,	 test_shared_in_tree, test_events,	 test_multicast,
	};

	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
		look_begin(argv[1]);
		tests[i]();
		look_end();
	}
	return failures ? 1 : 0;
}
