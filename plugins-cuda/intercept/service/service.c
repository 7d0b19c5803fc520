// SPDX-License-Identifier: MIT
/*
 * The service thread sleeps in sigwaitinfo with every signal blocked and has no
 * open file, so in a frozen process this thread is all that belongs to us. It
 * survives criu: the wait is repeated, and a signal that was sent while the
 * process was frozen is still pending. It calls the driver's functions, never
 * stubs.
 */
#include "intercept/service/connection.h"
#include "intercept/service/service.h"
#include "common/protocol/message.h"
#include "common/protocol/unix_socket.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Room for the driver's stack frames; untouched pages cost nothing. */
#define STACK_BYTES (1 << 20)

static int say_hello(struct ccr__connection *connection)
{
	struct ccr_message *m = &connection->message;

	ccr_message_init(m, CCR_MSG_HELLO, connection->operation);
	ccr__memory_lock();
	m->hello.nspid = getpid();
	m->hello.state = ccr__memory.is_evicted ? CCR_SERVICE_EVICTED : CCR_SERVICE_RESIDENT;
	for (const struct ccr__phys *phys = ccr__memory.all; phys; phys = phys->next) {
		if (phys->is_excluded)
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
		ccr_err("operation %u: lost the connection to the pool: %s", connection->operation,
			strerror(-ret));
		return;
	}
	switch (connection->message.type) {
	case CCR_MSG_EVICT:
		if (ccr__memory.is_evicted)
			ccr__connection_fail(connection, -EALREADY, CUDA_SUCCESS,
					     "the memory is already evicted");
		else
			ccr__evict(connection, connection->message.evict.timeout_ms);
		break;
	case CCR_MSG_ATTACH:
		if (ccr__memory.is_evicted)
			ccr__attach(connection, connection->message.attach.mode);
		else
			ccr__connection_fail(connection, -EALREADY, CUDA_SUCCESS,
					     "no memory is evicted");
		break;
	case CCR_MSG_ABORT:
		break;
	default:
		ccr__connection_fail(connection, -EPROTO, CUDA_SUCCESS,
				     "expected EVICT or ATTACH from the pool");
	}
}

static void answer(uint32_t operation)
{
	struct ccr__connection connection = {.operation = operation};
	char path[PATH_MAX + 32];
	int ret;

	ret = ccr_op_socket_path(path, sizeof(path), ccr__core.run_dir, operation);
	if (!ret) {
		connection.socket = ccr_socket_connect(path);
		ret = connection.socket < 0 ? connection.socket : 0;
	}
	if (ret) {
		ccr_err("operation %u: cannot connect to the pool in %s: %s", operation,
			ccr__core.run_dir, strerror(-ret));
		return;
	}
	serve(&connection);
	close(connection.socket);
}

static void *service(void *unused)
{
	CUstreamCaptureMode relaxed = CU_STREAM_CAPTURE_MODE_RELAXED;
	sigset_t wanted;
	siginfo_t info;

	(void)unused;
	pthread_setname_np(pthread_self(), CCR_SERVICE_COMM);
	/* What this thread does must not end a capture in another thread. */
	if (ccr__real.cuThreadExchangeStreamCaptureMode)
		ccr__real.cuThreadExchangeStreamCaptureMode(&relaxed);
	sigemptyset(&wanted);
	sigaddset(&wanted, CCR_SERVICE_SIGNAL);
	for (;;)
		if (sigwaitinfo(&wanted, &info) == CCR_SERVICE_SIGNAL && info.si_code == SI_QUEUE)
			answer(info.si_value.sival_int);
	return NULL;
}

int ccr__service_start(void)
{
	sigset_t all, before;
	pthread_attr_t attr;
	pthread_t thread;
	int ret;

	ret = pthread_attr_init(&attr);
	if (ret)
		return -ret;
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	ret = pthread_create(&thread, &attr, service, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	return -ret;
}
