// SPDX-License-Identifier: MIT
#include "test/pool/session_test.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "pool/device/device.h"
#include "pool/session/session.h"

static int criu; /* our end of the session */
uint32_t timeout_ms = TIMEOUT_MS;
static char images[] = "/tmp/session-XXXXXX";
static uint32_t group; /* of the next request */
static pthread_t thread;

static void *serve(void *socket)
{
	session_run((intptr_t)socket);
	return NULL;
}

void request_for(pid_t pid, int pidfd, enum ccr_message_type type, uint32_t operation,
		 int connection)
{
	const int dir = open(images, O_RDONLY | O_DIRECTORY);
	const int fds[] = {dir, pidfd, connection};
	struct ccr_message m;

	ccr_message_init(&m, type, operation);
	m.op.fds = CCR_OP_IMAGES | CCR_OP_PIDFD | (connection >= 0 ? CCR_OP_CONNECTION : 0);
	m.op.pid = pid;
	m.op.image_pid = operation;
	m.op.timeout_ms = timeout_ms;
	m.op.streams = m.op.chunk_mb = 1;
	m.op.group = group;
	CHECK(!ccr_message_send(criu, &m, fds, connection >= 0 ? 3 : 2));
	close(dir);
	close(pidfd);
	if (connection >= 0)
		close(connection);
}

void request(enum ccr_message_type type, uint32_t operation, int connection)
{
	request_for(getpid(), syscall(SYS_pidfd_open, getpid(), 0), type, operation, connection);
}

void expect_reply(enum ccr_message_type type, uint32_t operation, int result)
{
	struct ccr_message m;

	CHECK(!ccr_message_receive(criu, &m, NULL, NULL, WAIT_MS));
	if (m.type != type || m.operation != operation || m.result != result)
		fprintf(stderr, "message %d of %u: %d (%.100s), expected %d of %u: %d\n", m.type,
			m.operation, m.result, m.done.text, type, operation, result);
	CHECK(m.type == type && m.operation == operation && m.result == result);
}

int connect_to(int *application)
{
	int pair[2];

	CHECK(!socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair));
	*application = pair[1];
	return pair[0];
}

void say(int application, enum ccr_message_type type, uint32_t state)
{
	struct ccr_message m;

	ccr_message_init(&m, type, 0);
	if (type == CCR_MSG_HELLO)
		m.hello.state = state;
	CHECK(!ccr_message_send(application, &m, NULL, 0));
}

void hear(int application, enum ccr_message_type type)
{
	struct ccr_message m;

	CHECK(!ccr_message_receive(application, &m, NULL, NULL, WAIT_MS) && m.type == type);
}

void request_in_group(enum ccr_message_type type, uint32_t operation, int connection, uint32_t nr)
{
	group = nr;
	request(type, operation, connection);
	group = 0;
}

void send_to_session(const struct ccr_message *message)
{
	CHECK(!ccr_message_send(criu, message, NULL, 0));
}

bool is_silent(int application)
{
	struct pollfd poller = {.fd = application, .events = POLLIN};

	return !poll(&poller, 1, 0);
}

void join(uint32_t operation, int *application, uint32_t version)
{
	struct ccr_message m;

	request(CCR_MSG_OP_JOIN, operation, connect_to(application));
	expect_reply(CCR_MSG_OP_READY, operation, 0);
	ccr_message_init(&m, CCR_MSG_HELLO, 0);
	m.version = version;
	CHECK(!ccr_message_send(*application, &m, NULL, 0));
}

uint32_t hear_quiesce(int application)
{
	struct ccr_message m;

	CHECK(!ccr_message_receive(application, &m, NULL, NULL, WAIT_MS));
	CHECK(m.type == CCR_MSG_QUIESCE);
	return m.quiesce.calls;
}

void say_quiet(int application, int result)
{
	struct ccr_message m;

	ccr_message_init(&m, CCR_MSG_QUIET, 0);
	m.result = result;
	snprintf(m.failed.text, sizeof(m.failed.text), "%s", result ? "busy" : "");
	CHECK(!ccr_message_send(application, &m, NULL, 0));
}

void shares_nothing(int application)
{
	struct ccr_message m;

	CHECK(!ccr_message_receive(application, &m, NULL, NULL, WAIT_MS));
	CHECK(m.type == CCR_MSG_SHARED && !m.shared.count);
	ccr_message_init(&m, CCR_MSG_END, 0);
	CHECK(!ccr_message_send(application, &m, NULL, 0));
}

void gate_opens(int application)
{
	struct ccr_message m;

	while (!ccr_message_receive(application, &m, NULL, NULL, WAIT_MS))
		CHECK(m.type == CCR_MSG_QUIESCE);
	close(application);
}

void session_begin(void)
{
	char error[256];
	int pair[2];

	if (strstr(images, "XXXXXX")) {
		CHECK(mkdtemp(images));
		CHECK(!ccr_settings_load(&pool.settings, NULL, error, sizeof(error)));
		pool_device_begin();
	}
	CHECK(!socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair));
	criu = pair[0];
	CHECK(!pthread_create(&thread, NULL, serve, (void *)(intptr_t)pair[1]));
}

void session_finish(void)
{
	close(criu);
	CHECK(!pthread_join(thread, NULL));
}

int session_failures(void)
{
	char command[64];

	snprintf(command, sizeof(command), "rm -r %s", images);
	CHECK(!system(command));
	return failures;
}
