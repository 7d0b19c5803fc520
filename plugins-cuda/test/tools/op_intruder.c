// SPDX-License-Identifier: MIT
/*
 * op-intruder RUN_DIR: a foreign process that connects to the socket of every
 * operation in the run directory and sends a service thread's HELLO to get the
 * memory. Prints a line for each socket: "op-N.sock refused", or the answer.
 */
#include "common/protocol/protocol.h"
#include "common/protocol/unix_socket.h"
#include "common/protocol/message.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TIMEOUT_MS 10000

static void intrude(const char *run_dir, uint32_t operation)
{
	struct ccr_message message;
	char path[4096];
	int fd, ret;

	ret = ccr_op_socket_path(path, sizeof(path), run_dir, operation);
	fd = ret ? ret : ccr_socket_connect(path);
	if (fd < 0) {
		printf("op-%u.sock: %s\n", operation, strerror(-fd));
		return;
	}
	ccr_message_init(&message, CCR_MSG_HELLO, operation);
	message.hello.nspid = getpid();
	message.hello.state = CCR_SERVICE_EVICTED;
	ret = ccr_message_send(fd, &message, NULL, 0);
	if (!ret)
		ret = ccr_message_receive(fd, &message, NULL, NULL, TIMEOUT_MS);
	if (ret == -EPIPE)
		printf("op-%u.sock refused\n", operation);
	else
		printf("op-%u.sock answered: %d, message %d\n", operation, ret, message.type);
	close(fd);
}

int main(int argc, char **argv)
{
	struct dirent *entry;
	uint32_t operation;
	DIR *dir;

	if (argc != 2) {
		fprintf(stderr, "usage: op-intruder RUN_DIR\n");
		return 2;
	}
	dir = opendir(argv[1]);
	if (!dir) {
		perror(argv[1]);
		return 1;
	}
	while ((entry = readdir(dir))) {
		int end = 0;

		if (sscanf(entry->d_name, CCR_OP_SOCKET_FORMAT "%n", &operation, &end) == 1 && end)
			intrude(argv[1], operation);
	}
	closedir(dir);
	return 0;
}
