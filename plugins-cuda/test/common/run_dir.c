// SPDX-License-Identifier: MIT
/*
 * The run directory and its sockets are believed only when nobody else can have made or changed
 * them. As root, the checks of another user run in a child with the uid of nobody.
 */
#include "common/run_dir.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/status.h"
#include "test/check.h"

#define OTHER 65534

static char base[] = "/tmp/ccr-trust-XXXXXX";
static char why[256];

static const char *at(const char *name)
{
	static char paths[4][128];
	static int next;
	char *path = paths[next++ % 4];

	snprintf(path, sizeof(paths[0]), "%s/%s", base, name);
	return path;
}

static int listen_at(const char *path, mode_t mode)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);

	strcpy(address.sun_path, path);
	CHECK(!bind(fd, (struct sockaddr *)&address, sizeof(address)) && !listen(fd, 4));
	CHECK(!chmod(path, mode));
	return fd;
}

static bool is_refused(const char *path, const char *reason)
{
	const int fd = ccr_run_dir_open(path, why, sizeof(why));

	if (fd >= 0)
		close(fd);
	return fd == -EPERM && strstr(why, reason) && strstr(why, "CRIU_CUDA_RUN_DIR");
}

static void test_directory(void)
{
	struct ccr_status status;
	int fd = ccr_run_dir_make(at("run"), why, sizeof(why));
	struct stat st;

	CHECK(fd >= 0 && !fstat(fd, &st) && (st.st_mode & 0777) == 0700);
	close(fd);
	CHECK(!symlink(at("run"), at("link")));
	CHECK(is_refused(at("link"), "symbolic link"));
	CHECK(!chmod(at("run"), 0770) && is_refused(at("run"), "mode 0770"));
	CHECK(!chmod(at("run"), 01777) && is_refused(at("run"), "mode 1777"));
	CHECK(ccr_status_open(&status, at("run"), getpid()) == -EPERM && status.fd == -1);
	CHECK(!chmod(at("run"), 0755));
	CHECK(!ccr_status_open(&status, at("run"), getpid()));
	ccr_status_close(&status);
	CHECK(ccr_run_dir_open(at("none"), why, sizeof(why)) == -ENOENT);
	CHECK(ccr_run_dir_connect(at("none"), "pool.sock", why, sizeof(why)) == -ENOENT);
	CHECK(!strcmp(why, "No such file or directory"));
}

static void test_socket(void)
{
	const int listener = listen_at(at("run/pool.sock"), 0600);
	int fd = ccr_run_dir_connect(at("run"), "pool.sock", why, sizeof(why));

	CHECK(fd >= 0 && accept(listener, NULL, NULL) >= 0);
	close(fd);
	CHECK(!chmod(at("run/pool.sock"), 0666));
	CHECK(ccr_run_dir_connect(at("run"), "pool.sock", why, sizeof(why)) == -EPERM);
	CHECK(strstr(why, "mode 0666"));
	/* A link to a socket that would be accepted. */
	CHECK(!chmod(at("run/pool.sock"), 0600) && !symlink("pool.sock", at("run/other.sock")));
	CHECK(ccr_run_dir_connect(at("run"), "other.sock", why, sizeof(why)) == -EPERM);
	CHECK(strstr(why, "not a socket"));
	/* A FIFO must not be opened for reading, which would wait for a writer. */
	CHECK(!mkfifo(at("run/fifo.sock"), 0600));
	CHECK(ccr_run_dir_connect(at("run"), "fifo.sock", why, sizeof(why)) == -EPERM);
	CHECK(!mkfifo(at("fifo"), 0600) && is_refused(at("fifo"), "not a directory"));
	close(listener);
	CHECK(ccr_run_dir_connect(at("run"), "pool.sock", why, sizeof(why)) == -ECONNREFUSED);
}

/* A directory that another user made before us, with a socket that looks like the pool's. */
static void test_foreign(void)
{
	struct ccr_status status;
	int listener;

	CHECK(!mkdir(at("foreign"), 0700));
	listener = listen_at(at("foreign/pool.sock"), 0600);
	CHECK(!chown(at("foreign"), OTHER, OTHER) && is_refused(at("foreign"), "user 65534"));
	CHECK(ccr_run_dir_connect(at("foreign"), "pool.sock", why, sizeof(why)) == -EPERM);
	CHECK(ccr_status_open(&status, at("foreign"), getpid()) == -EPERM && status.fd == -1);
	/* Only the socket is the other user's. */
	CHECK(!chown(at("foreign"), 0, 0) && !chown(at("foreign/pool.sock"), OTHER, OTHER));
	CHECK(ccr_run_dir_connect(at("foreign"), "pool.sock", why, sizeof(why)) == -EPERM);
	CHECK(strstr(why, "belongs to user 65534"));
	close(listener);
}

/* Another user trusts root's directory and its own. */
static void test_as_other(void)
{
	int status;
	pid_t child;

	CHECK(!chmod(base, 0755) && !mkdir(at("own"), 0700) && !chown(at("own"), OTHER, OTHER));
	child = fork();
	if (!child) {
		failures = 0;
		CHECK(!setgid(OTHER) && !setuid(OTHER));
		CHECK(ccr_run_dir_open(at("own"), why, sizeof(why)) >= 0);
		CHECK(ccr_run_dir_open(at("run"), why, sizeof(why)) >= 0);
		_exit(failures ? 1 : 0);
	}
	CHECK(waitpid(child, &status, 0) == child && !status);
}

int main(void)
{
	char command[64];

	CHECK(mkdtemp(base));
	alarm(60); /* nothing here may wait */
	test_directory();
	test_socket();
	if (!geteuid()) {
		test_foreign();
		test_as_other();
	}
	snprintf(command, sizeof(command), "rm -r %s", base);
	CHECK(!system(command));
	return failures ? 1 : 0;
}
