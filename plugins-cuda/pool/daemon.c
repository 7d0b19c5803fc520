// SPDX-License-Identifier: MIT
/*
 * The daemon: warm contexts and staging buffers, and a thread per connection.
 * Two sockets in the run directory, 0600: pool.sock for plugins, control.sock
 * for users. systemd may pass both (LISTEN_FDS); their types tell them apart.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pool/control.h"
#include "pool/daemon.h"
#include "pool/images/engine.h"
#include "pool/notify.h"
#include "pool/peer.h"
#include "pool/images/residents.h"
#include "pool/images/slabs.h"
#include "pool/session/session.h"
#include "common/protocol/unix_socket.h"
#include "common/run_dir.h"

#define FIRST_PASSED_FD 3 /* sd_listen_fds(3) */
#define ROOM_RETRY_MS	1000

enum { POOL, CONTROL, NR_LISTENERS };

static void serve_pool(int socket);

static struct {
	const char *name;
	int type;
	void (*serve)(int socket);
	int fd;
	bool is_ours; /* we bound it, so we remove it */
	char path[108];
} listeners[NR_LISTENERS] = {
	[POOL] = {CCR_POOL_SOCKET, SOCK_SEQPACKET, serve_pool, -1},
	[CONTROL] = {CCR_CONTROL_SOCKET, SOCK_STREAM, control_run, -1},
};

/* Connections being served; the event wakes the main thread when the last one ends. */
static atomic_int nr_connections;
static int connection_ended;

struct connection {
	void (*serve)(int socket);
	int socket;
};

static void *connection_thread(void *argument)
{
	const struct connection connection = *(struct connection *)argument;
	const uint64_t one = 1;

	free(argument);
	connection.serve(connection.socket);
	atomic_fetch_sub(&nr_connections, 1);
	if (write(connection_ended, &one, sizeof(one)) < 0)
		ccr_err("eventfd: %s", strerror(errno));
	return NULL;
}

/* A run of criu may be silent for long, but not before its first request. */
static void serve_pool(int socket)
{
	if (peer_speaks(socket, PEER_TIMEOUT_MS))
		session_run(socket);
	else
		close(socket);
}

static void serve_connection(int which, int socket)
{
	struct connection *connection =
		peer_is_allowed(socket) ? malloc(sizeof(*connection)) : NULL;
	pthread_t thread;

	if (connection) {
		*connection = (struct connection){listeners[which].serve, socket};
		atomic_fetch_add(&nr_connections, 1);
		if (!pthread_create(&thread, NULL, connection_thread, connection)) {
			pthread_detach(thread);
			return;
		}
		atomic_fetch_sub(&nr_connections, 1);
		free(connection);
	}
	close(socket);
}

/*
 * False when the connection stays in the queue for now, because there is no descriptor or memory
 * for it. The listener remains readable then.
 */
static bool accept_one(int which)
{
	const int socket = accept4(listeners[which].fd, NULL, NULL, SOCK_CLOEXEC);

	if (socket >= 0) {
		serve_connection(which, socket);
		return true;
	}
	if (errno != EMFILE && errno != ENFILE && errno != ENOMEM && errno != ENOBUFS)
		return true; /* the client has gone */
	ccr_warn("a client must wait: %s", strerror(errno));
	return false;
}

/* ---- sockets ---- */

static int take_passed(void)
{
	const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
	int nr = 0;

	if (!pid || !count || atoi(pid) != getpid())
		return 0;
	for (int fd = FIRST_PASSED_FD; fd < FIRST_PASSED_FD + atoi(count); fd++) {
		socklen_t size = sizeof(int);
		int type = 0;

		getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size);
		for (int i = 0; i < NR_LISTENERS; i++)
			if (listeners[i].type == type && listeners[i].fd < 0) {
				listeners[i].fd = fd;
				nr++;
			}
	}
	return nr;
}

/* One daemon per run directory. The kernel releases the lock when the process ends. */
static int lock_run_dir(const char *run_dir)
{
	const int flags = O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
	char why[256];
	const int dir = ccr_run_dir_make(run_dir, why, sizeof(why));
	int fd, ret;

	if (dir < 0) {
		ccr_err("the run directory %s is refused: %s", run_dir, why);
		return dir;
	}
	fd = openat(dir, "pool.lock", flags, 0600);
	ret = fd < 0 || flock(fd, LOCK_EX | LOCK_NB) ? -errno : 0;
	close(dir);
	if (ret)
		ccr_err("%s/pool.lock: %s", run_dir,
			ret == -EWOULDBLOCK ? "another cuda-poold serves this directory; stop it "
					      "or set CRIU_CUDA_RUN_DIR"
					    : strerror(-ret));
	return ret;
}

/* The socket gets its name once it listens. A socket left by an earlier daemon is replaced. */
static int open_listener(int which, const char *run_dir)
{
	char fresh[sizeof(listeners[which].path)];
	int fd;

	if ((size_t)snprintf(listeners[which].path, sizeof(fresh), "%s/%s", run_dir,
			     listeners[which].name) >= sizeof(fresh) ||
	    (size_t)snprintf(fresh, sizeof(fresh), "%s/.%s", run_dir, listeners[which].name) >=
		    sizeof(fresh)) {
		ccr_err("%s: too long for the path of a socket; set a shorter CRIU_CUDA_RUN_DIR",
			run_dir);
		return -ENAMETOOLONG;
	}
	unlink(fresh);
	fd = ccr_socket_listen(fresh, listeners[which].type);
	if (fd < 0 || rename(fresh, listeners[which].path)) {
		ccr_err("%s: %s", listeners[which].path, strerror(fd < 0 ? -fd : errno));
		return -EIO;
	}
	listeners[which].is_ours = true;
	return fd;
}

static int open_listeners(const char *run_dir)
{
	const int nr_passed = take_passed();

	for (int i = 0; i < NR_LISTENERS; i++) {
		if (listeners[i].fd >= 0)
			continue;
		if (nr_passed) {
			ccr_err("systemd passed no socket for %s", listeners[i].name);
			return -EINVAL;
		}
		listeners[i].fd = open_listener(i, run_dir);
		if (listeners[i].fd < 0)
			return listeners[i].fd;
	}
	return 0;
}

static void close_listeners(void)
{
	for (int i = 0; i < NR_LISTENERS; i++) {
		if (listeners[i].is_ours)
			unlink(listeners[i].path);
		if (listeners[i].fd >= 0)
			close(listeners[i].fd);
		listeners[i].fd = -1;
	}
}

/* ---- start and stop ---- */

static int warm_up(void)
{
	const struct copy_options options = engine_own_options();
	struct cuda_parallel_engine *engine;
	int devices[CCR_MAX_DEVICES], ret;
	char error[512];

	pool_device_begin();
	ret = pool_device_wait(error, sizeof(error));
	for (int i = 0; !ret && i < pool.nr_devices; i++) {
		devices[i] = i;
		ret = pool_device_use(i);
		if (ret)
			snprintf(error, sizeof(error), "cannot create a context on device %d", i);
	}
	if (!ret)
		ret = engine_get(&engine, &options, devices, pool.nr_devices, error, sizeof(error));
	if (ret)
		ccr_err("%s", error);
	else
		ccr_info("context pool initialized: %d devices, %u streams, chunks of %u MiB",
			 pool.nr_devices, options.streams, options.chunk_mb);
	return ret;
}

static void reload(void)
{
	struct ccr_settings fresh;
	char error[512];

	if (ccr_settings_load(&fresh, NULL, error, sizeof(error))) {
		ccr_err("settings not reloaded: %s", error);
		return;
	}
	resident_set_budget((uint64_t)fresh.pool_budget_mb << 20);
	ccr_info("CRIU_CUDA_POOL_BUDGET_MB = %ld", fresh.pool_budget_mb);
}

/* False for a signal that ends the daemon. */
static bool handle_signal(int signals)
{
	struct signalfd_siginfo info;

	if (read(signals, &info, sizeof(info)) != sizeof(info))
		return true;
	if (info.ssi_signo != SIGHUP)
		return false;
	reload();
	return true;
}

/* Waits for room for the next connection: one that ends, or something else that frees a descriptor.
 */
static void wait_for_room(struct pollfd *signals)
{
	struct pollfd pollers[] = {*signals, {.fd = connection_ended, .events = POLLIN}};
	uint64_t unused;

	if (poll(pollers, 2, ROOM_RETRY_MS) > 0 && pollers[1].revents)
		(void)!read(connection_ended, &unused, sizeof(unused));
}

static void serve_until_signal(int signals)
{
	struct pollfd pollers[1 + NR_LISTENERS] = {{.fd = signals, .events = POLLIN}};

	for (int i = 0; i < NR_LISTENERS; i++)
		pollers[1 + i] = (struct pollfd){.fd = listeners[i].fd, .events = POLLIN};
	for (;;) {
		if (poll(pollers, 1 + NR_LISTENERS, -1) < 0)
			continue;
		if (pollers[0].revents && !handle_signal(signals))
			return;
		for (int i = 0; i < NR_LISTENERS; i++)
			if (pollers[1 + i].revents && !accept_one(i))
				wait_for_room(pollers);
	}
}

/* While a dump runs we hold memory of the application, so we finish it first. */
static void drain(int signals)
{
	struct pollfd pollers[] = {{.fd = signals, .events = POLLIN},
				   {.fd = connection_ended, .events = POLLIN}};
	uint64_t unused;

	while (atomic_load(&nr_connections)) {
		ccr_info("waiting for %d connections to finish; send another signal to end at once",
			 atomic_load(&nr_connections));
		if (poll(pollers, 2, -1) < 0)
			continue;
		if (pollers[0].revents && !handle_signal(signals))
			return;
		if (pollers[1].revents && read(connection_ended, &unused, sizeof(unused)) < 0)
			return;
	}
}

int daemon_run(void)
{
	sigset_t handled;
	int signals;

	sigemptyset(&handled);
	sigaddset(&handled, SIGTERM);
	sigaddset(&handled, SIGINT);
	sigaddset(&handled, SIGHUP);
	/* Before any thread is created, so that no thread receives them. */
	pthread_sigmask(SIG_BLOCK, &handled, NULL);
	signals = signalfd(-1, &handled, SFD_CLOEXEC);
	connection_ended = eventfd(0, EFD_CLOEXEC);
	slabs_make_room = resident_make_room;
	resident_set_budget((uint64_t)pool.settings.pool_budget_mb << 20);
	if (signals < 0 || connection_ended < 0 || lock_run_dir(pool.settings.run_dir) ||
	    warm_up() || open_listeners(pool.settings.run_dir))
		return 1;
	peer_keep_room();
	pool_notify("READY=1\nSTATUS=contexts ready on %d devices", pool.nr_devices);
	serve_until_signal(signals);
	pool_notify("STOPPING=1");
	close_listeners();
	resident_drop(NULL, true);
	drain(signals);
	ccr_info("ended");
	return 0;
}
