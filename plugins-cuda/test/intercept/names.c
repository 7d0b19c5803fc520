// SPDX-License-Identifier: MIT
/*
 * Description: each stub in hook_list.h calls the driver's function of that
 * name. An evict is refused if the driver has more calls than there are stubs,
 * and waits for the end of a stream capture.
 */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/protocol/protocol.h"
#include "common/protocol/message.h"
#include "intercept/gate/gate.h"
#include "intercept/core/wrap_list.h"
#include "test/intercept/connect.h"

#define CHECK(condition)                                                                \
	do {                                                                            \
		if (!(condition)) {                                                     \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
			exit(1);                                                        \
		}                                                                       \
	} while (0)

static void *driver;

static bool is_stub(const void *address)
{
	Dl_info info;

	return address && dladdr(address, &info) && strstr(info.dli_fname, "libcuda_intercept.so");
}

static bool is_wrapped(int hook)
{
	switch (hook) {
#define W(symbol, base, since) case CCR_HOOK_##symbol:
		CCR_WRAPPERS(W)
#undef W
		return true;
	}
	return false;
}

static void listed_names(void)
{
	static const char *const names[] = {
#define H(symbol, kind) #symbol,
		CCR_HOOKS(H)
#undef H
	};
	int called = 0;

	for (int i = 0; i < CCR_NR_HOOKS; i++) {
		int (*function)(void);

		*(void **)&function = dlsym(driver, names[i]);
		CHECK(is_stub((void *)function));
		CHECK((void *)function == dlsym(RTLD_DEFAULT, names[i]));
		if (is_wrapped(i) || !strcmp(names[i], "cuDeviceGetCount") ||
		    !strcmp(names[i], "cuThreadExchangeStreamCaptureMode"))
			continue;
		if (function() != 1000 + i)
			fprintf(stderr, "%s leads elsewhere\n", names[i]);
		CHECK(function() == 1000 + i);
		called++;
	}
	CHECK(called > 500);
}

/* --- a pool that has nothing to move --- */

static int begin_evict(uint32_t timeout_ms)
{
	const int connection = connect_service();
	static uint32_t operation;
	struct ccr_message m;

	CHECK(connection >= 0);
	CHECK(!ccr_message_receive(connection, &m, NULL, NULL, 10000));
	CHECK(m.type == CCR_MSG_HELLO && !m.hello.nr_handles);
	ccr_message_init(&m, CCR_MSG_EVICT, ++operation);
	m.evict.timeout_ms = timeout_ms;
	CHECK(!ccr_message_send(connection, &m, NULL, 0));
	return connection;
}

/* Aborts an evict that has sent its list. */
static struct ccr_message end_evict(int connection)
{
	struct ccr_message m, abort;

	do
		CHECK(!ccr_message_receive(connection, &m, NULL, NULL, 20000));
	while (m.type == CCR_MSG_DEVICES);
	ccr_message_init(&abort, CCR_MSG_ABORT, m.operation);
	if (m.type == CCR_MSG_END)
		CHECK(!ccr_message_send(connection, &abort, NULL, 0));
	close(connection);
	return m;
}

static int call(const char *name)
{
	int (*function)(void *, int);

	*(void **)&function = dlsym(driver, name);
	/* A stream, where it is one; the mock driver looks at no argument. */
	return function(strstr(name, "Capture") ? driver : NULL, 0);
}

static void captures(void)
{
	static const char *const pairs[][2] = {
		{"cuStreamBeginCapture", "cuStreamEndCapture"},
		{"cuStreamBeginCapture_v2", "cuStreamEndCapture_ptsz"},
		{"cuStreamBeginCapture_v2_ptsz", "cuStreamEndCapture"},
		{"cuStreamBeginCaptureToGraph", "cuStreamEndCapture"},
	};

	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		struct ccr_message m;
		int connection;

		CHECK(!call(pairs[i][0]));
		m = end_evict(begin_evict(100));
		CHECK(m.type == CCR_MSG_FAILED && m.result == -ETIMEDOUT);
		CHECK(!strcmp(m.failed.text, "a stream is being captured"));
		/* With a longer timeout it waits, and calls still work meanwhile. */
		connection = begin_evict(20000);
		CHECK(call("cuCtxGetFlags") > 1000);
		CHECK(!call(pairs[i][1]));
		CHECK(end_evict(connection).type == CCR_MSG_END);
	}
}

static void unlisted_names(void)
{
	int stubs = 0, raw = 0;
	struct ccr_message m;

	for (int round = 0; round < 2; round++)
		for (int i = 0; i < 2100; i++) {
			char name[32];
			void *found;

			snprintf(name, sizeof(name), "cuUnlisted%d", i);
			found = dlsym(driver, name);
			CHECK(found);
			stubs += is_stub(found);
			raw += !is_stub(found);
			if (!round && i == 100)
				CHECK(end_evict(begin_evict(10000)).type == CCR_MSG_END);
		}
	CHECK(stubs == 2 * CCR_SPARE_SLOTS && raw == 2 * (2100 - CCR_SPARE_SLOTS));
	m = end_evict(begin_evict(10000));
	CHECK(m.type == CCR_MSG_FAILED && m.result == -ENOTSUP);
}

int main(int argc, char **argv)
{
	CHECK(argc == 2);
	CHECK(!dlsym(RTLD_DEFAULT, "cuInit")); /* we export it, but no driver is loaded yet */
	driver = dlopen(argv[1], RTLD_NOW);
	CHECK(driver);
	CHECK(!call("cuInit"));
	listed_names();
	captures();
	unlisted_names();
	return 0;
}
