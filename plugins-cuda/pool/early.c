// SPDX-License-Identifier: MIT
/*
 * A helper that begins before criu does. The command that starts criu starts it first, so that the
 * driver's start, and the load of a restore, overlap with the command's checks and with criu's own
 * start. Standard input is a pipe from that command: while nobody has taken the helper over, its
 * end ends it.
 */
#include "pool/early.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/protocol/protocol.h"
#include "pool/device/device.h"
#include "pool/device/visible.h"
#include "pool/images/engine.h"
#include "pool/images/prefetch.h"
#include "pool/images/residents.h"
#include "pool/images/slabs.h"
#include "pool/session/session.h"

/* The command ends it much sooner, unless it hangs. Milliseconds. */
#define TAKE_OVER_MS 600000

/* Our own end of a socket whose other end is CCR_EARLY_SOCKET. */
static int open_socket(void)
{
	int pair[2], ours, theirs;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return -errno;
	ours = pair[pair[0] == CCR_EARLY_SOCKET];
	theirs = pair[pair[0] != CCR_EARLY_SOCKET];
	if (theirs == CCR_EARLY_SOCKET)
		return ours;
	if (dup3(theirs, CCR_EARLY_SOCKET, O_CLOEXEC) < 0)
		return -errno;
	close(theirs);
	return ours;
}

/* Whether a plugin has sent its first request. */
static bool is_taken_over(int socket)
{
	struct pollfd pollers[] = {{.fd = STDIN_FILENO}, {.fd = socket, .events = POLLIN}};
	const double end = now_ms() + TAKE_OVER_MS;

	while (now_ms() < end) {
		if (poll(pollers, 2, (int)(end - now_ms()) + 1) < 0 && errno != EINTR)
			return false;
		if (pollers[1].revents)
			return true;
		if (pollers[0].revents)
			return false;
	}
	return false;
}

static void begin_loads(const char *dir)
{
	char error[512] = "";
	const int images_dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int ret = -errno;

	if (images_dir >= 0)
		visible_limit(images_dir);
	pool_device_begin();
	if (images_dir >= 0)
		ret = prefetch_begin(images_dir, error, sizeof(error));
	/* The plugin asks for it again, and reports what is wrong. */
	if (ret)
		ccr_warn("%s: not loaded early: %s", dir, *error ? error : strerror(-ret));
	if (images_dir >= 0)
		close(images_dir);
}

/* For a dump: the first process that is saved needs it. With several devices, nobody knows yet
 * which of them have memory of the tree. */
static void *prepare_device(void *unused)
{
	const struct copy_options options = engine_own_options();
	struct cuda_parallel_engine *engine;
	const int device = 0;
	char error[256];

	engine_prepare(&options);
	if (!pool_device_wait(error, sizeof(error)) && pool.nr_devices == 1 &&
	    !pool_device_use(device))
		engine_get(&engine, &options, &device, 1, error, sizeof(error));
	return NULL;
}

int early_run(const char *dir)
{
	const int socket = open_socket();
	bool is_preparing = false;
	pthread_t preparation;
	char error[256];

	if (socket < 0) {
		ccr_err("cannot create a socket pair: %s", strerror(-socket));
		return 1;
	}
	slabs_make_room = resident_make_room;
	/* With a device map, which an image may be moved by, the plugin asks for each load. */
	if (dir && !*pool.settings.device_map)
		begin_loads(dir);
	else
		pool_device_begin();
	if (!dir)
		is_preparing = !pthread_create(&preparation, NULL, prepare_device, NULL);
	if (!is_taken_over(socket))
		_exit(0); /* without waiting for the driver: the kernel frees all of it */
	close(CCR_EARLY_SOCKET);
	session_run(socket);
	if (is_preparing)
		pthread_join(preparation, NULL);
	return pool_device_wait(error, sizeof(error)) ? 1 : 0;
}
