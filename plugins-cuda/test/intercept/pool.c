// SPDX-License-Identifier: MIT
/*
 * The pool process of the interceptor's tests. It keeps the descriptors (for a
 * rollback) and the bytes in host memory (the image), and can break off at any
 * step.
 */
#include "test/intercept/intercept_test.h"
#include "common/protocol/message.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_HELD 4096
#define WAIT_MS	 60000

struct held {
	struct ccr_wire_handle wire;
	int fd, device;
	void *bytes;
};

static struct {
	int connection;
	struct held held[MAX_HELD];
	size_t nr_held;
	struct ccr_message message;
	CUcontext contexts[CCR_MAX_DEVICES];
	int nr_devices;
} pool;

static int device_of(const uint8_t *uuid)
{
	for (int i = 0; i < pool.nr_devices; i++) {
		CUuuid mine;

		OK(cuDeviceGetUuid_v2(&mine, i));
		if (!memcmp(mine.bytes, uuid, 16))
			return i;
	}
	return -1;
}

/* Copies between host memory and an allocation, which is imported or was created here. */
static void copy(struct held *held, CUmemGenericAllocationHandle handle, bool to_device)
{
	const CUmemAccessDesc access = {{CU_MEM_LOCATION_TYPE_DEVICE, held->device},
					CU_MEM_ACCESS_FLAGS_PROT_READWRITE};
	CUdeviceptr at;

	OK(cuCtxSetCurrent(pool.contexts[held->device]));
	OK(cuMemAddressReserve(&at, held->wire.size, 0, 0, 0));
	OK(cuMemMap(at, held->wire.size, 0, handle, 0));
	OK(cuMemSetAccess(at, held->wire.size, &access, 1));
	if (to_device)
		OK(cuMemcpyHtoD_v2(at, held->bytes, held->wire.size));
	else
		OK(cuMemcpyDtoH_v2(held->bytes, at, held->wire.size));
	OK(cuMemUnmap(at, held->wire.size));
	OK(cuMemAddressFree(at, held->wire.size));
}

static void drop_fds(void)
{
	for (size_t i = 0; i < pool.nr_held; i++) {
		if (pool.held[i].fd >= 0)
			close(pool.held[i].fd);
		pool.held[i].fd = -1;
	}
}

static void forget_all(void)
{
	drop_fds();
	for (size_t i = 0; i < pool.nr_held; i++)
		free(pool.held[i].bytes);
	pool.nr_held = 0;
	sharing_forget();
}

static void take_handles(const int *fds, const int *devices)
{
	for (uint32_t i = 0; i < pool.message.handles.count; i++) {
		struct held *held = &pool.held[pool.nr_held++];
		CUmemGenericAllocationHandle handle;

		CHECK(pool.nr_held <= MAX_HELD);
		held->wire = pool.message.handles.entry[i];
		held->fd = fds[i];
		held->device = devices[held->wire.device];
		held->bytes = malloc(held->wire.size);
		CHECK(held->bytes && held->device >= 0);
		OK(cuMemImportFromShareableHandle(&handle, (void *)(intptr_t)held->fd,
						  CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR));
		copy(held, handle, false);
		OK(cuMemRelease(handle));
	}
}

static int send_type(enum ccr_message_type type, const struct pool_request *request)
{
	struct ccr_message message;

	ccr_message_init(&message, type, request->operation);
	if (type == CCR_MSG_EVICT || type == CCR_MSG_QUIESCE)
		message.evict.timeout_ms = request->timeout_ms;
	if (type == CCR_MSG_ATTACH)
		message.attach.mode = request->mode | (request->is_group ? CCR_ATTACH_GROUP : 0);
	return ccr_message_send(pool.connection, &message, NULL, 0);
}

/* Breaks off or aborts if the request says so. True if it did. */
static bool stops(const struct pool_request *request, enum pool_break here, enum pool_break abort)
{
	if (request->stop == here)
		return true;
	if (!abort || request->stop != abort)
		return false;
	send_type(CCR_MSG_ABORT, request);
	return true;
}

static int receive(struct pool_reply *reply, int *fds, int *nr_fds)
{
	const int ret = ccr_message_receive(pool.connection, &pool.message, fds, nr_fds, WAIT_MS);

	if (ret)
		return ret;
	reply->last_type = pool.message.type;
	if (pool.message.type != CCR_MSG_FAILED)
		return 0;
	reply->cu_result = pool.message.failed.cu_result;
	memcpy(reply->text, pool.message.failed.text, sizeof(pool.message.failed.text));
	return pool.message.result ? pool.message.result : -EIO;
}

static int receive_hello(struct pool_reply *reply)
{
	const int ret = receive(reply, NULL, NULL);

	CHECK(ret || pool.message.type == CCR_MSG_HELLO);
	reply->state = pool.message.hello.state;
	reply->nspid = pool.message.hello.nspid;
	return ret;
}

/* What the process has imported and exported, once its gate is closed. */
static int ask_sharing(const struct pool_request *request, struct pool_reply *reply)
{
	int fds[CCR_HANDLES_A_MESSAGE], nr_fds, ret = send_type(CCR_MSG_QUIESCE, request);

	if (!ret)
		ret = receive(reply, NULL, NULL);
	CHECK(ret || (pool.message.type == CCR_MSG_QUIET && !pool.message.result));
	if (!ret)
		ret = send_type(CCR_MSG_SHARED, request);
	for (;;) {
		if (!ret)
			ret = receive(reply, fds, &nr_fds);
		if (ret || pool.message.type == CCR_MSG_END)
			return ret;
		CHECK(pool.message.type == CCR_MSG_SHARED);
		sharing_take(&pool.message, fds);
	}
}

static int evict(const struct pool_request *request, struct pool_reply *reply)
{
	int fds[CCR_HANDLES_A_MESSAGE], nr_fds, devices[CCR_MAX_DEVICES];
	int ret = receive_hello(reply);

	if (ret || stops(request, BREAK_AFTER_HELLO, ABORT_AFTER_HELLO))
		return ret;
	forget_all();
	if (request->is_group) {
		ret = ask_sharing(request, reply);
		if (ret || stops(request, BREAK_AFTER_SHARED, 0))
			return ret;
	}
	ret = send_type(CCR_MSG_EVICT, request);
	if (ret || stops(request, BREAK_AFTER_EVICT, 0))
		return ret;
	for (;;) {
		ret = receive(reply, fds, &nr_fds);
		if (ret)
			return ret;
		if (pool.message.type == CCR_MSG_END)
			break;
		if (pool.message.type == CCR_MSG_DEVICES) {
			for (uint32_t i = 0; i < pool.message.devices.count; i++)
				devices[i] = device_of(pool.message.devices.uuid[i]);
			if (stops(request, BREAK_AFTER_DEVICES, 0))
				return 0;
			continue;
		}
		CHECK(pool.message.type == CCR_MSG_HANDLES);
		reply->max_fds = nr_fds > (int)reply->max_fds ? nr_fds : (int)reply->max_fds;
		take_handles(fds, devices);
		if (stops(request, BREAK_AFTER_HANDLES, 0))
			return 0;
	}
	if (stops(request, BREAK_AFTER_END, ABORT_AFTER_END))
		return 0;
	ret = send_type(CCR_MSG_HELD, request);
	return ret ? ret : receive(reply, NULL, NULL);
}

/* Creates memory with the bytes of the image for one handle. */
static int make_fd(struct held *held)
{
	const CUmemAllocationProp prop = {
		.type = CU_MEM_ALLOCATION_TYPE_PINNED,
		.requestedHandleTypes = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR,
		.location = {CU_MEM_LOCATION_TYPE_DEVICE, held->device},
	};
	CUmemGenericAllocationHandle handle;
	int fd;

	OK(cuMemCreate(&handle, held->wire.size, &prop, 0));
	copy(held, handle, true);
	OK(cuMemExportToShareableHandle(&fd, handle, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0));
	OK(cuMemRelease(handle));
	return fd;
}

static int attach(const struct pool_request *request, struct pool_reply *reply)
{
	size_t nr = pool.nr_held - (request->stop == FORGET_ONE), done = 0;
	int fds[CCR_HANDLES_A_MESSAGE], ret = receive_hello(reply);

	if (ret || stops(request, BREAK_AFTER_HELLO, ABORT_AFTER_HELLO))
		return ret;
	ret = send_type(CCR_MSG_ATTACH, request);
	if (ret || stops(request, BREAK_AFTER_ATTACH, 0))
		return ret;
	while (!ret && done < nr) {
		struct ccr_message message;
		/* Small messages, so that breaking off in the middle is possible. */
		const size_t count = nr - done < 7 ? nr - done : 7;

		ccr_message_init(&message, CCR_MSG_HANDLES, request->operation);
		message.handles.count = count;
		for (size_t i = 0; i < count; i++, done++) {
			/* In reverse order, since any order is allowed. */
			struct held *held = &pool.held[nr - 1 - done];

			message.handles.entry[i] = held->wire;
			message.handles.entry[i].fd = i;
			fds[i] = request->source == SOURCE_KEPT ? dup(held->fd) : make_fd(held);
		}
		ret = ccr_message_send(pool.connection, &message, fds, count);
		for (size_t i = 0; i < count; i++)
			close(fds[i]);
		if (stops(request, BREAK_MIDWAY, 0))
			return ret;
	}
	if (ret)
		return ret;
	ret = send_type(CCR_MSG_END, request);
	if (!ret && request->is_group)
		ret = sharing_attach(pool.connection, request);
	if (ret == 1)
		return 0;
	return ret ? ret : receive(reply, NULL, NULL);
}

static uint64_t free_bytes(void)
{
	size_t free_now, total;

	OK(cuCtxSetCurrent(pool.contexts[0]));
	OK(cuMemGetInfo_v2(&free_now, &total));
	return free_now;
}

static void serve(const struct pool_request *request, struct pool_reply *reply)
{
	switch (request->what) {
	case POOL_EVICT:
		reply->error = evict(request, reply);
		for (size_t i = 0; i < pool.nr_held; i++)
			reply->bytes += pool.held[i].wire.size;
		reply->nr_handles = pool.nr_held;
		sharing_needed(reply);
		break;
	case POOL_ATTACH: {
		struct pool_request shared = *request;

		shared.is_group = sharing_needed(reply);
		reply->error = attach(&shared, reply);
		break;
	}
	case POOL_COMMIT:
		drop_fds();
		sharing_drop_fds();
		break;
	}
	if (request->what == POOL_EVICT || request->what == POOL_ATTACH) {
		close(pool.connection);
		/* After a failed evict the application keeps its memory. */
		if (request->what == POOL_EVICT && reply->last_type != CCR_MSG_DONE) {
			drop_fds();
			sharing_forget();
		}
	}
	reply->free_bytes = free_bytes();
}

void pool_main(int requests, int replies)
{
	struct pool_request request;

	OK(cuInit(0));
	OK(cuDeviceGetCount(&pool.nr_devices));
	for (int i = 0; i < pool.nr_devices; i++)
		OK(cuDevicePrimaryCtxRetain(&pool.contexts[i], i));
	while (receive_request(requests, &request, &pool.connection)) {
		struct pool_reply reply = {.error = 0};

		serve(&request, &reply);
		CHECK(write(replies, &reply, sizeof(reply)) == sizeof(reply));
	}
	forget_all();
	exit(0);
}
