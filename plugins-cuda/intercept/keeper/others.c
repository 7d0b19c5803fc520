// SPDX-License-Identifier: MIT
#include "intercept/keeper/others.h"
#include "intercept/keeper/shared.h"

#include <stddef.h>

#define BACKLOG 16

static char *add_number(char *at, unsigned int number)
{
	char digits[10];
	int nr = 0;

	do
		digits[nr++] = '0' + number % 10;
	while (number /= 10);
	while (nr)
		*at++ = digits[--nr];
	return at;
}

socklen_t ccr__others_name(struct sockaddr_un *name, pid_t pid, unsigned int n)
{
	const char *prefix = "criu-cuda-keep/";
	char *at = name->sun_path;

	name->sun_family = AF_UNIX;
	*at++ = '\0';
	while (*prefix)
		*at++ = *prefix++;
	at = add_number(at, pid);
	*at++ = '/';
	at = add_number(at, n);
	return offsetof(struct sockaddr_un, sun_path) + (at - name->sun_path);
}

bool ccr__others_may(uid_t one, uid_t other)
{
	return one == other || !one || !other;
}

void ccr__others_init(struct ccr__others *others)
{
	others->listener = -1;
	for (int i = 0; i < CCR__OTHERS_PENDING; i++)
		others->pending[i] = -1;
	others->table = NULL;
	others->nr = 0;
}

static long listen_named(void)
{
	const pid_t pid = ccr__raw(SYS_getpid, 0);
	const long socket =
		ccr__raw(SYS_socket, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	long ret = -EADDRINUSE;

	if (socket < 0)
		return socket;
	for (unsigned int n = 0; n < CCR__OTHERS_NAMES && ret == -EADDRINUSE; n++) {
		struct sockaddr_un name;
		const socklen_t size = ccr__others_name(&name, pid, n);

		ret = ccr__raw(SYS_bind, socket, &name, size);
	}
	if (!ret)
		ret = ccr__raw(SYS_listen, socket, BACKLOG);
	if (ret)
		ccr__raw(SYS_close, socket);
	return ret ? ret : socket;
}

long ccr__others_publish(struct ccr__others *others, const struct ccr__published *table, int nr)
{
	if (nr && others->listener < 0) {
		const long listener = listen_named();

		if (listener < 0)
			return listener;
		others->listener = listener;
	}
	others->table = table;
	others->nr = nr;
	return 0;
}

void ccr__others_poll(const struct ccr__others *others, struct pollfd *polls)
{
	polls[0] = (struct pollfd){.fd = others->listener, .events = POLLIN};
	for (int i = 0; i < CCR__OTHERS_PENDING; i++)
		polls[1 + i] = (struct pollfd){.fd = others->pending[i], .events = POLLIN};
}

static int slot_of(const struct ccr__others *others, const struct ccr__token *token)
{
	for (int i = 0; i < others->nr; i++)
		if (others->table[i].token.random[0] == token->random[0] &&
		    others->table[i].token.random[1] == token->random[1])
			return others->table[i].slot;
	return -1;
}

static void answer(const struct ccr__others *others, int socket)
{
	struct ccr__token token;
	const long size = ccr__raw(SYS_recvfrom, socket, &token, sizeof(token),
				   MSG_DONTWAIT | MSG_TRUNC, NULL, NULL);
	int slot;

	if (size != sizeof(token))
		return;
	slot = slot_of(others, &token);
	/* Without a descriptor, the answer means that there is none with this token. */
	ccr__pass_send(socket, "", 1, &slot, slot >= 0);
}

static void take_connection(struct ccr__others *others)
{
	const long socket =
		ccr__raw(SYS_accept4, others->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct ucred peer = {.uid = (uid_t)-1};
	socklen_t size = sizeof(peer);

	if (socket < 0)
		return;
	if (ccr__raw(SYS_getsockopt, socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) ||
	    !ccr__others_may(peer.uid, ccr__raw(SYS_geteuid, 0))) {
		ccr__raw(SYS_close, socket);
		return;
	}
	if (others->pending[CCR__OTHERS_PENDING - 1] >= 0)
		ccr__raw(SYS_close, others->pending[CCR__OTHERS_PENDING - 1]);
	for (int i = CCR__OTHERS_PENDING - 1; i > 0; i--)
		others->pending[i] = others->pending[i - 1];
	others->pending[0] = socket;
}

void ccr__others_serve(struct ccr__others *others, const struct pollfd *polls)
{
	for (int i = 0; i < CCR__OTHERS_PENDING; i++) {
		if (others->pending[i] < 0 || !polls[1 + i].revents)
			continue;
		answer(others, others->pending[i]);
		ccr__raw(SYS_close, others->pending[i]);
		others->pending[i] = -1;
	}
	/* Last, because it moves the others. */
	if (others->listener >= 0 && polls[0].revents)
		take_connection(others);
}
