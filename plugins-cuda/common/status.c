// SPDX-License-Identifier: MIT
#include "common/status.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/log.h"
#include "common/run_dir.h"
#include "common/status_history.h"

/* Of a status file: some 600 lines. */
#define RESERVED_BYTES (128 << 10)
/* The field with the time of a line, and its end. */
#define TIME_BYTES 40

static void file_name(char *out, size_t size, pid_t criu)
{
	struct stat namespace = {0};

	stat("/proc/self/ns/pid", &namespace);
	snprintf(out, size, "op-%d-%lu.jsonl", criu, (unsigned long)namespace.st_ino);
}

static int create_file(struct ccr_status *status, int dir_fd, const char *name)
{
	/* A reader may have the file of an earlier criu with this pid open: unlink it instead of
	 * truncating it. */
	unlinkat(dir_fd, name, 0);
	status->fd = openat(dir_fd, name,
			    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_APPEND | O_CLOEXEC, 0600);
	if (status->fd < 0 || flock(status->fd, LOCK_SH))
		return -errno;
	/*
	 * The outcome is written after all that cannot be undone, so it must not
	 * need space then. File systems that cannot reserve any are left as they are.
	 */
	if (fallocate(status->fd, FALLOC_FL_KEEP_SIZE, 0, RESERVED_BYTES) && errno != EOPNOTSUPP)
		return -errno;
	return 0;
}

int ccr_status_open(struct ccr_status *status, const char *run_dir, pid_t criu)
{
	char name[64], why[256];
	const int dir_fd = ccr_run_dir_make(run_dir, why, sizeof(why));
	int ret = dir_fd < 0 ? dir_fd : 0;

	status->fd = -1;
	if (!ret) {
		ccr_status_tidy(dir_fd);
		file_name(name, sizeof(name), criu);
		ret = create_file(status, dir_fd, name);
		if (ret) {
			ccr_status_close(status);
			unlinkat(dir_fd, name, 0);
		}
		close(dir_fd);
	}
	if (ret)
		ccr_err("cannot create a status file in %s: %s; %s", run_dir,
			dir_fd < 0 ? why : strerror(-ret),
			ret == -ENOSPC || ret == -EDQUOT
				? "free space there, or name another directory in CRIU_CUDA_RUN_DIR"
				: "name another directory in CRIU_CUDA_RUN_DIR");
	return ret;
}

int ccr_status_probe(const char *run_dir)
{
	struct ccr_status status;
	char name[64], why[256];
	int dir_fd, ret = ccr_status_open(&status, run_dir, getpid());

	if (ret)
		return ret;
	ccr_status_close(&status);
	dir_fd = ccr_run_dir_open(run_dir, why, sizeof(why));
	if (dir_fd < 0)
		return dir_fd;
	file_name(name, sizeof(name), getpid());
	unlinkat(dir_fd, name, 0);
	close(dir_fd);
	return 0;
}

static double now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1e3 + now.tv_nsec / 1e6;
}

void ccr_status_add(const struct ccr_status *status, const char *format, ...)
{
	char line[PATH_MAX + 1024];
	va_list args;
	int len;

	if (status->fd < 0)
		return;
	va_start(args, format);
	len = vsnprintf(line, sizeof(line) - TIME_BYTES, format, args);
	va_end(args);
	if (len < 1 || (size_t)len >= sizeof(line) - TIME_BYTES) {
		ccr_warn("cannot write a status line, because it is too long: %.60s", format);
		return;
	}
	len--; /* the brace */
	len += snprintf(line + len, TIME_BYTES, ",\"at\":%.3f}\n", now_ms());
	/* One write for each line, so that two writers (criu and its watcher) do not mix theirs. */
	if (write(status->fd, line, len) != len)
		ccr_warn("cannot write the status file: %s", strerror(errno));
}

void ccr_status_span(const struct ccr_status *status, pid_t pid, const char *part, const char *name,
		     double start, double end)
{
	ccr_status_add(
		status,
		"{\"event\":\"span\",\"pid\":%d,\"part\":\"%s\",\"name\":\"%s\",\"start\":%.3f,"
		"\"end\":%.3f}",
		pid, part, name, start, end);
}

const char *ccr_status_quoted(char *out, size_t size, const char *text)
{
	size_t used = 0;

	for (; *text && used + 3 <= size; text++) {
		const unsigned char c = *text;

		if (c == '"' || c == '\\')
			out[used++] = '\\';
		out[used++] = c < ' ' ? ' ' : c;
	}
	out[used] = '\0';
	return out;
}

void ccr_status_close(struct ccr_status *status)
{
	if (status->fd >= 0)
		close(status->fd);
	status->fd = -1;
}
