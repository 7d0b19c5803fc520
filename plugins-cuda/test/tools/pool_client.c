// SPDX-License-Identifier: MIT
/*
 * Connects to the pool of a run directory like the plugin, and asks for nothing.
 *   pool-client DIR [half]    `half`: sends the beginning of a message
 * Prints "refused: WHY", or "connected" and then "dropped" when the pool hangs up.
 */
#include "common/protocol/protocol.h"
#include "common/run_dir.h"

#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>

int main(int argc, char **argv)
{
	struct pollfd poller = {.events = POLLIN};
	char why[256], byte = 0;

	if (argc < 2)
		return 2;
	setvbuf(stdout, NULL, _IOLBF, 0);
	poller.fd = ccr_run_dir_connect(argv[1], CCR_POOL_SOCKET, why, sizeof(why));
	if (poller.fd < 0) {
		printf("refused: %s\n", why);
		return 1;
	}
	puts("connected");
	if (argc > 2 && send(poller.fd, "CCR", 3, MSG_NOSIGNAL) != 3)
		return 1;
	if (poll(&poller, 1, -1) == 1 && recv(poller.fd, &byte, 1, 0) <= 0)
		puts("dropped");
	return 0;
}
