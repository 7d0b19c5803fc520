// SPDX-License-Identifier: MIT
/*
 * ccr-free-ports PORT…: ends what the kernel keeps of TCP connections that no process has any more,
 * for up to a minute (TIME-WAIT, or FIN-WAIT-2), where their local port is one of these. A restored
 * program could not listen on it again, unless it had set SO_REUSEADDR before. Needs CAP_NET_ADMIN
 * and a kernel with CONFIG_INET_DIAG_DESTROY. Ends with 0, or 1 and a message.
 */
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* All data was received by the other side: nothing is lost. */
#define STATES (1u << TCP_TIME_WAIT | 1u << TCP_FIN_WAIT2)

struct request {
	struct nlmsghdr header;
	struct inet_diag_req_v2 diag;
};

struct ports {
	uint16_t *list;
	int nr;
};

static bool is_listed(const struct ports *ports, uint16_t port)
{
	for (int i = 0; i < ports->nr; i++)
		if (ports->list[i] == port)
			return true;
	return false;
}

static int ask(int fd, uint16_t type, uint16_t flags, uint8_t family,
	       const struct inet_diag_sockid *id)
{
	struct request request = {
		.header = {.nlmsg_len = sizeof(request),
			   .nlmsg_type = type,
			   .nlmsg_flags = NLM_F_REQUEST | flags},
		.diag = {.sdiag_family = family,
			 .sdiag_protocol = IPPROTO_TCP,
			 .idiag_states = STATES},
	};

	if (id)
		request.diag.id = *id;
	return send(fd, &request, sizeof(request), 0) == sizeof(request) ? 0 : -errno;
}

/* The kernel finds a connection by its addresses, and by a cookie that is never used again. */
static int end(int fd, uint8_t family, const struct inet_diag_sockid *id)
{
	struct {
		struct nlmsghdr header;
		struct nlmsgerr error;
		struct request rest;
	} answer;
	int ret = ask(fd, SOCK_DESTROY, NLM_F_ACK, family, id);

	if (ret)
		return ret;
	if (recv(fd, &answer, sizeof(answer), 0) < (ssize_t)NLMSG_LENGTH(sizeof(answer.error)))
		return -EIO;
	ret = answer.header.nlmsg_type == NLMSG_ERROR ? answer.error.error : 0;
	return ret == -ENOENT ? 0 : ret; /* it has ended by itself */
}

/* `ending`: makes the calls, while `listing` is being read. Returns 1 at the end of the list. */
static int take(int ending, const struct ports *ports, const struct nlmsghdr *header)
{
	const struct inet_diag_msg *message = NLMSG_DATA(header);

	if (header->nlmsg_type == NLMSG_DONE)
		return 1;
	if (header->nlmsg_type == NLMSG_ERROR)
		return ((const struct nlmsgerr *)NLMSG_DATA(header))->error;
	if (message->idiag_inode || !is_listed(ports, ntohs(message->id.idiag_sport)))
		return 0;
	return end(ending, message->idiag_family, &message->id);
}

static int free_ports(int listing, int ending, const struct ports *ports, uint8_t family)
{
	char buffer[16384] __attribute__((aligned(NLMSG_ALIGNTO)));
	int ret = ask(listing, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, family, NULL);

	while (!ret) {
		ssize_t left = recv(listing, buffer, sizeof(buffer), 0);
		const struct nlmsghdr *header = (const struct nlmsghdr *)buffer;

		if (left < 0)
			return -errno;
		for (; !ret && NLMSG_OK(header, (size_t)left); header = NLMSG_NEXT(header, left))
			ret = take(ending, ports, header);
	}
	return ret < 0 ? ret : 0;
}

int main(int argc, char **argv)
{
	const int listing = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	const int ending = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	struct ports ports = {.list = calloc(argc, sizeof(*ports.list))};
	int ret = listing < 0 || ending < 0 || !ports.list ? -errno : 0;

	for (int i = 1; !ret && i < argc; i++) {
		char *rest;
		const unsigned long port = strtoul(argv[i], &rest, 10);

		if (!*argv[i] || *rest || !port || port > UINT16_MAX)
			ret = -EINVAL;
		else
			ports.list[ports.nr++] = port;
	}
	if (!ret)
		ret = free_ports(listing, ending, &ports, AF_INET);
	if (!ret)
		ret = free_ports(listing, ending, &ports, AF_INET6);
	free(ports.list);
	if (ret)
		fprintf(stderr, "ccr-free-ports: %s\n", strerror(-ret));
	return ret ? 1 : 0;
}
