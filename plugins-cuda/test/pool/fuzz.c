// SPDX-License-Identifier: MIT
/*
 * Parses untrusted bytes: packets of the pool's sockets, lines of its control
 * socket, GPU image manifests, device maps. The first byte of an input selects
 * the parser. With libFuzzer (CCR_FUZZ, clang) this is a fuzzer. The test,
 * which any compiler can build, runs it over corpus.tar.gz.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/protocol/device_map.h"
#include "common/protocol/protocol.h"
#include "common/protocol/message.h"
#include "image/image.h"
#include "pool/control.h"
#include "pool/device/device.h"
#include "pool/session/session.h"
#include "test/descriptors.h"

#define INPUT_BYTES 65536

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(condition)                                                                \
	do {                                                                            \
		if (!(condition)) {                                                     \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
			abort();                                                        \
		}                                                                       \
	} while (0)

/* Sends the bytes in one packet, with up to 255 descriptors. */
static void send_packet(int socket, const uint8_t *data, size_t size, int nr_fds)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(253 * sizeof(int))];
	} control;
	struct iovec iov = {.iov_base = (void *)data, .iov_len = size};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	nr_fds = nr_fds > 253 ? 253 : nr_fds;
	if (nr_fds) {
		memset(&control, 0, sizeof(control));
		control.head.cmsg_level = SOL_SOCKET;
		control.head.cmsg_type = SCM_RIGHTS;
		control.head.cmsg_len = CMSG_LEN(nr_fds * sizeof(int));
		for (int i = 0; i < nr_fds; i++)
			memcpy(CMSG_DATA(&control.head) + i * sizeof(int), &(int){0}, sizeof(int));
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(nr_fds * sizeof(int));
	}
	sendmsg(socket, &msg, MSG_DONTWAIT);
}

static void fuzz_packet(const uint8_t *data, size_t size)
{
	int pair[2], fds[CCR_HANDLES_A_MESSAGE], nr_fds;
	struct ccr_message message;

	if (!size || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return;
	send_packet(pair[0], data + 1, size - 1, data[0]);
	if (!ccr_message_receive(pair[1], &message, fds, &nr_fds, 0)) {
		CHECK(nr_fds >= 0 && nr_fds <= CCR_HANDLES_A_MESSAGE);
		if (message.type == CCR_MSG_HANDLES) {
			CHECK(message.handles.count <= CCR_HANDLES_A_MESSAGE);
			for (uint32_t i = 0; i < message.handles.count; i++)
				CHECK(message.handles.entry[i].fd < (uint32_t)nr_fds);
		}
		while (nr_fds)
			close(fds[--nr_fds]);
	}
	close(pair[0]);
	close(pair[1]);
}

/* A session of requests. Each follows a byte for its descriptors and two bytes for its length. */
static void fuzz_session(const uint8_t *data, size_t size)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return;
	while (size > 3) {
		size_t length = data[1] | data[2] << 8;

		length = length < size - 3 ? length : size - 3;
		send_packet(pair[0], data + 3, length, data[0]);
		data += 3 + length;
		size -= 3 + length;
	}
	shutdown(pair[0], SHUT_WR);
	session_run(pair[1]);
	close(pair[0]);
}

static void fuzz_control(const uint8_t *data, size_t size)
{
	char answer[4096];
	int pair[2];
	ssize_t got;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return;
	got = send(pair[0], data, size, MSG_DONTWAIT);
	shutdown(pair[0], SHUT_WR);
	control_run(pair[1]);
	/* The answer to a complete line must be one line. */
	if (got == (ssize_t)size && memchr(data, '\n', size)) {
		got = recv(pair[0], answer, sizeof(answer), 0);
		CHECK(got <= 0 || answer[0] == '{');
	}
	close(pair[0]);
}

static void fuzz_manifest(const uint8_t *data, size_t size)
{
	struct ccr_image *image;
	char error[512];

	if (!ccr_image_parse(&image, data, size, "cuda-1.img", error, sizeof(error)))
		ccr_image_close(image);
}

static void fuzz_device_map(const uint8_t *data, size_t size)
{
	char text[4096], error[256];
	struct ccr_device_map map;

	if (size >= sizeof(text))
		return;
	memcpy(text, data, size);
	text[size] = '\0';
	if (!ccr_device_map_parse(&map, "map", text, error, sizeof(error)))
		CHECK(map.count <= CCR_MAX_DEVICES);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const targets[])(const uint8_t *, size_t) = {
		fuzz_packet, fuzz_session, fuzz_control, fuzz_manifest, fuzz_device_map};
	const size_t nr = sizeof(targets) / sizeof(targets[0]);
	int before;

	if (!size || size > INPUT_BYTES)
		return 0;
	if (!*pool.settings.run_dir)
		snprintf(pool.settings.run_dir, sizeof(pool.settings.run_dir), "/tmp/ccr-fuzz.%d",
			 getpid());
	before = nr_descriptors();
	targets[data[0] % nr](data + 1, size - 1);
	CHECK(nr_descriptors() == before);
	return 0;
}
