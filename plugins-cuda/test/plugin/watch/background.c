// SPDX-License-Identifier: GPL-2.0-only
/* A background process keeps none of criu's descriptors, also where Linux has no close_range. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "plugin/task/state.h"
#include "plugin/watch/background.h"
#include "test/check.h"

#define NR_FDS 20

static bool has_close_range;

int criu_get_image_dir(void)
{
	return -1;
}

long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);

long __wrap_syscall(long number, ...)
{
	long arguments[3];
	va_list list;

	va_start(list, number);
	for (int i = 0; i < 3; i++)
		arguments[i] = va_arg(list, long);
	va_end(list);
	if (number == SYS_close_range && !has_close_range) {
		errno = ENOSYS;
		return -1;
	}
	return __real_syscall(number, arguments[0], arguments[1], arguments[2]);
}

/* Sends how many descriptors it has. */
static void count(int unused, int fd)
{
	DIR *fds = opendir("/proc/self/fd");
	int nr = -1; /* without that of the directory */

	for (struct dirent *entry; fds && (entry = readdir(fds));)
		nr += entry->d_name[0] != '.';
	send(fd, &nr, sizeof(nr), 0);
	_exit(0);
}

static void test(void)
{
	const int fd = ccr__background_start("counts", count, 0, NULL);
	int nr = 0;

	CHECK(fd >= 0 && recv(fd, &nr, sizeof(nr), 0) == sizeof(nr));
	CHECK(nr == 1); /* its socket */
	close(fd);
}

int main(void)
{
	for (int i = 0; i < NR_FDS; i++)
		CHECK(open("/dev/null", O_RDONLY) >= 0);
	alarm(60);
	test();
	has_close_range = true;
	test();
	return failures ? 1 : 0;
}
