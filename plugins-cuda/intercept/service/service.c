// SPDX-License-Identifier: MIT
/*
 * The service thread sleeps in a futex wait with every signal blocked and has no
 * open file, so in a frozen process this thread is all that belongs to us. It
 * survives criu: the wait is repeated, and a connection that was put in the
 * mailbox while the process was frozen is still there. It calls the driver's
 * functions, never stubs.
 */
#include "intercept/core/thread.h"
#include "intercept/service/connection.h"
#include "intercept/service/service.h"
#include "intercept/service/sharing.h"
#include "intercept/core/mailbox.h"
#include "intercept/gate/gate.h"
#include "common/protocol/message.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

/* Room for the driver's stack frames; untouched pages cost nothing. */
#define STACK_BYTES (1 << 20)

/* The socket that is in use, or -1. */
static int connected = -1;

static int say_hello(struct ccr__connection *connection)
{
	struct ccr_message *m = &connection->message;

	ccr_message_init(m, CCR_MSG_HELLO, 0);
	ccr__memory_lock();
	m->hello.nspid = getpid();
	m->hello.state = ccr__memory.is_placed	  ? CCR_SERVICE_PLACED
			 : ccr__memory.is_evicted ? CCR_SERVICE_EVICTED
						  : CCR_SERVICE_RESIDENT;
	for (const struct ccr__phys *phys = ccr__memory.all; phys; phys = phys->next) {
		if (phys->is_excluded || phys->is_foreign)
			continue;
		m->hello.nr_handles++;
		m->hello.bytes += phys->size;
	}
	ccr__memory_unlock();
	return ccr_message_send(connection->socket, m, NULL, 0);
}

static void serve(struct ccr__connection *connection)
{
	int ret = say_hello(connection);

	if (!ret)
		ret = ccr_message_receive(connection->socket, &connection->message, NULL, NULL, -1);
	if (ret) {
		ccr_err("lost the connection to the pool: %s", strerror(-ret));
		return;
	}
	connection->operation = connection->message.operation;
	switch (connection->message.type) {
	case CCR_MSG_EVICT:
	case CCR_MSG_QUIESCE:
		if (ccr__memory.is_evicted)
			ccr__connection_fail(connection, -EALREADY, CUDA_SUCCESS,
					     "the memory is already evicted");
		else if (atomic_load(&ccr__core.gate_incomplete))
			ccr__connection_fail(connection, -ENOTSUP, CUDA_SUCCESS,
					     "some driver calls of the program bypass the gate");
		else if (connection->message.type == CCR_MSG_EVICT)
			ccr__evict(connection, false);
		else
			ccr__quiesce_group(connection);
		break;
	case CCR_MSG_ATTACH:
		if (ccr__memory.is_evicted)
			ccr__attach(connection, connection->message.attach.mode);
		else
			ccr__connection_fail(connection, -EALREADY, CUDA_SUCCESS,
					     "no memory is evicted");
		break;
	case CCR_MSG_OPEN:
		if (ccr__memory.is_placed)
			ccr__attach_open(connection);
		else
			ccr__connection_fail(connection, -EALREADY, CUDA_SUCCESS,
					     "no memory waits for an open gate");
		break;
	case CCR_MSG_EXPORT:
		if (ccr__memory.is_evicted)
			ccr__connection_fail(connection, -EALREADY, CUDA_SUCCESS,
					     "the memory is evicted");
		else
			ccr__sharing_export(connection);
		break;
	case CCR_MSG_ABORT:
		break;
	default:
		ccr__connection_fail(connection, -EPROTO, CUDA_SUCCESS,
				     "expected EVICT, QUIESCE, ATTACH or OPEN from the pool");
	}
}

/* Waits for the next connection. Its other end was in this process too, but is the plugin's. */
static int next_connection(void)
{
	union {
		uint64_t ends;
		int32_t end[2];
	} taken;

	while ((connected = __atomic_load_n(&ccr__mailbox->end[1], __ATOMIC_ACQUIRE)) == -1)
		ccr__futex_wait((uint32_t *)&ccr__mailbox->end[1], -1, UINT64_MAX);
	taken.ends =
		__atomic_exchange_n(&ccr__mailbox->ends, CCR_MAILBOX_NO_ENDS, __ATOMIC_ACQ_REL);
	close(taken.end[0]);
	return taken.end[1];
}

void ccr__service_reset(void)
{
	for (int i = 0; i < 2; i++)
		if (ccr__mailbox->end[i] >= 0)
			close(ccr__mailbox->end[i]);
	ccr__mailbox->ends = CCR_MAILBOX_NO_ENDS;
	ccr__mailbox->gate_closed = 0;
	if (connected >= 0)
		close(connected);
	connected = -1;
}

static void *service(void *unused)
{
	CUstreamCaptureMode relaxed = CU_STREAM_CAPTURE_MODE_RELAXED;

	(void)unused;
	pthread_setname_np(pthread_self(), CCR_SERVICE_COMM);
	/* What this thread does must not end a capture in another thread. */
	if (ccr__real.cuThreadExchangeStreamCaptureMode)
		ccr__real.cuThreadExchangeStreamCaptureMode(&relaxed);
	for (;;) {
		struct ccr__connection connection = {.socket = next_connection()};

		serve(&connection);
		connected = -1;
		close(connection.socket);
	}
	return NULL;
}

int ccr__service_start(void)
{
	sigset_t all, before;
	pthread_attr_t attr;
	int ret;

	ret = -pthread_attr_init(&attr);
	if (ret)
		return ret;
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	ret = ccr__thread_create(&attr, STACK_BYTES, service, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	return ret;
}
