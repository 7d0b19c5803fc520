// SPDX-License-Identifier: MIT
/*
 * Description: the service thread of a process that is dumped and restored together
 * with others. The test is the pool itself, so it makes driver calls only in other
 * threads while the gate is closed.
 */
#include "test/intercept/intercept_test.h"
#include "common/protocol/message.h"
#include "test/intercept/connect.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <string.h>

#define WAIT_MS 60000
#define BYTES	(4 * MIB)

static CUdeviceptr at;
static int connection;
static struct ccr_message message;
static int fds[CCR_HANDLES_A_MESSAGE], nr_fds;
static struct ccr_message handles; /* what the evict has sent, with the descriptors above */
static sem_t has_begun, may_end, has_one_call;

static void send_to(enum ccr_message_type type, uint32_t value)
{
	ccr_message_init(&message, type, 1);
	if (type == CCR_MSG_ATTACH)
		message.attach.mode = value;
	else
		message.evict.timeout_ms = value;
	CHECK(!ccr_message_send(connection, &message, NULL, 0));
}

static void expect(enum ccr_message_type type)
{
	CHECK(!ccr_message_receive(connection, &message, NULL, NULL, WAIT_MS));
	CHECK(message.type == type);
}

static void connect_as(enum ccr_service_state state)
{
	connection = connect_service();
	CHECK(connection >= 0);
	expect(CCR_MSG_HELLO);
	CHECK(message.version == CCR_PROTOCOL_VERSION);
	CHECK(message.hello.state == (uint32_t)state);
}

static void quiesce(uint32_t timeout_ms, int result, const char *text)
{
	send_to(CCR_MSG_QUIESCE, timeout_ms);
	expect(CCR_MSG_QUIET);
	CHECK(message.result == result && !strcmp(message.failed.text, text));
}

static void *call(void *stream)
{
	OK(cuCtxSetCurrent(test_context(0)));
	CHECK(holds(at, BYTES, 1));
	sem_post(&has_one_call);
	if (stream)
		OK(cuStreamSynchronize(stream));
	return NULL;
}

static void is_open(void)
{
	pthread_t thread;

	CHECK(!pthread_create(&thread, NULL, call, NULL));
	pthread_join(thread, NULL);
	CHECK(!is_shown_gated());
}

/* Runs in a stream. */
static void hold(void *unused)
{
	sem_post(&has_begun);
	sem_wait(&may_end);
}

static CUstream stream_that_holds(void)
{
	CUstream stream;

	OK(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
	OK(cuLaunchHostFunc(stream, hold, NULL));
	sem_wait(&has_begun);
	return stream;
}

/* A call that comes meanwhile waits, and returns when the gate is opened. */
static void opened_again(void)
{
	pthread_t thread;

	connect_as(CCR_SERVICE_RESIDENT);
	for (int i = 0; i < 3; i++) {
		quiesce(WAIT_MS, 0, "");
		CHECK(is_shown_gated());
		CHECK(!pthread_create(&thread, NULL, call, NULL));
		send_to(CCR_MSG_OPEN, 0);
		expect(CCR_MSG_DONE);
		pthread_join(thread, NULL);
		CHECK(!is_shown_gated());
	}
	close(connection);
}

/* The gate stays closed when time is up: nothing more is launched. */
static void busy(void)
{
	CUstream stream = stream_that_holds();
	pthread_t thread;

	connect_as(CCR_SERVICE_RESIDENT);
	for (int i = 0; i < 2; i++) {
		quiesce(20, -EBUSY, "work on a device does not end");
		CHECK(is_shown_gated());
	}
	send_to(CCR_MSG_OPEN, 0);
	expect(CCR_MSG_DONE);
	is_open();
	while (!sem_trywait(&has_one_call))
		; /* of the earlier threads */
	CHECK(!pthread_create(&thread, NULL, call, stream));
	sem_wait(&has_one_call);
	do {
		send_to(CCR_MSG_OPEN, 0);
		expect(CCR_MSG_DONE);
		send_to(CCR_MSG_QUIESCE, 20);
		expect(CCR_MSG_QUIET);
		CHECK(message.result == -EBUSY && is_shown_gated());
	} while (strcmp(message.failed.text, "a driver call does not return"));
	sem_post(&may_end);
	/* The call returns although the gate is closed, and the thread makes no other. */
	pthread_join(thread, NULL);
	quiesce(WAIT_MS, 0, "");
	CHECK(is_shown_gated());
	close(connection);
	is_open();
	OK(cuStreamDestroy_v2(stream));
}

/* It could not end while the gate is closed. */
static void captured(void)
{
	CUstream stream;
	CUgraph graph;

	OK(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
	OK(cuStreamBeginCapture_v2(stream, 0));
	connect_as(CCR_SERVICE_RESIDENT);
	quiesce(20, -EBUSY, "a stream is being captured");
	CHECK(!is_shown_gated());
	OK(cuStreamEndCapture(stream, &graph));
	quiesce(WAIT_MS, 0, "");
	CHECK(is_shown_gated());
	send_to(CCR_MSG_ABORT, 0);
	is_open();
	close(connection);
	OK(cuStreamDestroy_v2(stream));
}

static void evict(void)
{
	send_to(CCR_MSG_EVICT, WAIT_MS);
	expect(CCR_MSG_DEVICES);
	CHECK(!ccr_message_receive(connection, &handles, fds, &nr_fds, WAIT_MS));
	CHECK(handles.type == CCR_MSG_HANDLES && nr_fds == 1);
	CHECK(handles.handles.entry[0].size == BYTES);
	expect(CCR_MSG_END);
	send_to(CCR_MSG_HELD, 0);
	expect(CCR_MSG_DONE);
	close(connection);
}

static void place(enum ccr_service_state state, uint32_t mode)
{
	connect_as(state);
	send_to(CCR_MSG_ATTACH, mode);
	CHECK(!ccr_message_send(connection, &handles, fds, nr_fds));
	send_to(CCR_MSG_END, 0);
}

/* The pool does not take the memory: the gate stays closed until the connection ends. */
static void not_taken(void)
{
	pthread_t thread;

	connect_as(CCR_SERVICE_RESIDENT);
	quiesce(WAIT_MS, 0, "");
	CHECK(!pthread_create(&thread, NULL, call, NULL));
	for (int i = 0; i < 2; i++) {
		send_to(CCR_MSG_EVICT, WAIT_MS);
		expect(CCR_MSG_DEVICES);
		CHECK(!ccr_message_receive(connection, &handles, fds, &nr_fds, WAIT_MS));
		CHECK(handles.type == CCR_MSG_HANDLES && nr_fds == 1);
		close(fds[0]);
		expect(CCR_MSG_END);
		send_to(CCR_MSG_ABORT, 0);
		expect(CCR_MSG_FAILED);
		expect(CCR_MSG_QUIET);
		CHECK(!message.result && is_shown_gated());
	}
	close(connection);
	pthread_join(thread, NULL);
	is_open();
	/* The pool is lost before it has said so. */
	connect_as(CCR_SERVICE_RESIDENT);
	quiesce(WAIT_MS, 0, "");
	send_to(CCR_MSG_EVICT, WAIT_MS);
	close(connection);
	is_open();
}

static void evicted(uint32_t mode, bool opens_later)
{
	pthread_t thread;

	connect_as(CCR_SERVICE_RESIDENT);
	quiesce(WAIT_MS, 0, "");
	evict();
	connect_as(CCR_SERVICE_EVICTED);
	send_to(CCR_MSG_QUIESCE, WAIT_MS);
	expect(CCR_MSG_FAILED);
	CHECK(message.result == -EALREADY);
	close(connection);

	/* Another member does not get its memory: this one does not run, and can try again. */
	place(CCR_SERVICE_EVICTED, mode | CCR_ATTACH_GROUP);
	expect(CCR_MSG_PLACED);
	send_to(CCR_MSG_ABORT, 0);
	close(connection);
	CHECK(!pthread_create(&thread, NULL, call, NULL));
	/* Without the pool it does not know whether others run: it keeps all, and does not run. */
	place(CCR_SERVICE_EVICTED, mode | CCR_ATTACH_GROUP);
	expect(CCR_MSG_PLACED);
	close(connection);
	for (int i = 0; i < 2; i++) {
		connect_as(CCR_SERVICE_PLACED);
		CHECK(is_shown_gated());
		if (i)
			send_to(CCR_MSG_ABORT, 0);
		close(connection);
	}
	connect_as(CCR_SERVICE_PLACED);
	send_to(CCR_MSG_EVICT, WAIT_MS);
	expect(CCR_MSG_FAILED);
	CHECK(message.result == -EALREADY);
	close(connection);
	/* None has run on: it begins again. In the middle, the pool is lost once more. */
	place(CCR_SERVICE_PLACED, mode | CCR_ATTACH_GROUP);
	expect(CCR_MSG_PLACED);
	close(connection);
	connect_as(CCR_SERVICE_PLACED);
	send_to(CCR_MSG_ATTACH, mode | CCR_ATTACH_GROUP);
	close(connection);
	connect_as(CCR_SERVICE_EVICTED);
	send_to(CCR_MSG_OPEN, 0);
	expect(CCR_MSG_FAILED);
	CHECK(message.result == -EALREADY && is_shown_gated());
	close(connection);
	place(CCR_SERVICE_EVICTED, mode | CCR_ATTACH_GROUP);
	expect(CCR_MSG_PLACED);
	CHECK(is_shown_gated());
	if (opens_later) { /* others have run on */
		close(connection);
		connect_as(CCR_SERVICE_PLACED);
	}
	send_to(CCR_MSG_OPEN, 0);
	expect(CCR_MSG_DONE);
	pthread_join(thread, NULL);
	close(connection);
	is_open();
	close(fds[0]);
}

/* Without QUIESCE, and without the bit: the messages of protocol 3. */
static void alone(void)
{
	connect_as(CCR_SERVICE_RESIDENT);
	evict();
	place(CCR_SERVICE_EVICTED, CCR_ATTACH_ADOPT);
	expect(CCR_MSG_DONE);
	close(connection);
	is_open();
	close(fds[0]);
}

int main(int argc, char **argv)
{
	test_begin(argc, argv);
	test_cuda_begin();
	CHECK(!sem_init(&has_begun, 0, 0) && !sem_init(&may_end, 0, 0) &&
	      !sem_init(&has_one_call, 0, 0));
	OK(cuMemAlloc_v2(&at, BYTES));
	fill(at, BYTES, 1);
	opened_again();
	busy();
	captured();
	not_taken();
	for (int i = 0; i < 2; i++) {
		evicted(CCR_ATTACH_ADOPT, i);
		evicted(CCR_ATTACH_MAP, i);
	}
	alone();
	return 0;
}
