// SPDX-License-Identifier: MIT
/*
 * The service thread sleeps in sigwaitinfo with every signal blocked and holds
 * no file, so that a frozen process has nothing of ours but this thread. It
 * survives criu: the wait is simply repeated, and a bell rung while the process
 * was frozen is still pending. It calls the driver's functions, never stubs.
 */
#include "intercept/service/service.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* For frames of the driver; only what is touched is used. */
#define STACK_BYTES (1 << 20)
/* For the pool to notice a failure and hang up. */
#define LINGER_MS 5000

void ccr__talk_failed(struct ccr__talk *talk, int error, CUresult result, const char *what)
{
	int ret;

	ccr_err("operation %u: %s: %s (%s)", talk->operation, what, strerror(-error),
		ccr_cuda_error_name(result));
	ccr_message_init(&talk->message, CCR_MSG_FAILED, talk->operation);
	talk->message.result = error;
	talk->message.failed.cu_result = result;
	snprintf(talk->message.failed.text, sizeof(talk->message.failed.text), "%s", what);
	if (ccr_message_send(talk->socket, &talk->message, NULL, 0))
		return;
	/* The pool may be sending: it reads the reason only once that is done. */
	do
		ret = ccr_message_receive(talk->socket, &talk->message, NULL, NULL, LINGER_MS);
	while (!ret || ret == -EPROTO);
}

static int say_hello(struct ccr__talk *talk)
{
	struct ccr_message *m = &talk->message;

	ccr_message_init(m, CCR_MSG_HELLO, talk->operation);
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
	return ccr_message_send(talk->socket, m, NULL, 0);
}

static void serve(struct ccr__talk *talk)
{
	int ret = say_hello(talk);

	if (!ret)
		ret = ccr_message_receive(talk->socket, &talk->message, NULL, NULL, -1);
	if (ret) {
		ccr_err("operation %u: %s", talk->operation, strerror(-ret));
		return;
	}
	switch (talk->message.type) {
	case CCR_MSG_EVICT:
		if (ccr__memory.is_evicted)
			ccr__talk_failed(talk, -EALREADY, CUDA_SUCCESS, "evicted already");
		else
			ccr__evict(talk, talk->message.evict.timeout_ms);
		break;
	case CCR_MSG_ATTACH:
		if (ccr__memory.is_evicted)
			ccr__attach(talk, talk->message.attach.mode);
		else
			ccr__talk_failed(talk, -EALREADY, CUDA_SUCCESS, "nothing is evicted");
		break;
	case CCR_MSG_ABORT:
		break;
	default:
		ccr__talk_failed(talk, -EPROTO, CUDA_SUCCESS, "neither EVICT nor ATTACH");
	}
}

static void answer(uint32_t operation)
{
	struct ccr__talk talk = {.operation = operation};
	char path[PATH_MAX + 32];
	int ret;

	ret = ccr_op_socket_path(path, sizeof(path), ccr__core.run_dir, operation);
	if (!ret) {
		talk.socket = ccr_socket_connect(path);
		ret = talk.socket < 0 ? talk.socket : 0;
	}
	if (ret) {
		ccr_err("operation %u in %s: %s", operation, ccr__core.run_dir, strerror(-ret));
		return;
	}
	serve(&talk);
	close(talk.socket);
}

static void *service(void *unused)
{
	CUstreamCaptureMode relaxed = CU_STREAM_CAPTURE_MODE_RELAXED;
	sigset_t bell;
	siginfo_t info;

	(void)unused;
	pthread_setname_np(pthread_self(), CCR_SERVICE_COMM);
	/* A capture in another thread must not be ended by what this one does. */
	if (ccr__real.cuThreadExchangeStreamCaptureMode)
		ccr__real.cuThreadExchangeStreamCaptureMode(&relaxed);
	sigemptyset(&bell);
	sigaddset(&bell, CCR_DOORBELL_SIGNAL);
	for (;;)
		if (sigwaitinfo(&bell, &info) == CCR_DOORBELL_SIGNAL && info.si_code == SI_QUEUE)
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
