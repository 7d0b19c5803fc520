// SPDX-License-Identifier: MIT
#include "common/syslog.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

void ccr_syslog(const char *format, ...)
{
	const struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "/dev/log"};
	const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	char line[1024];
	va_list args;
	int len;

	if (fd < 0)
		return;
	len = snprintf(line, sizeof(line), "<%d>criu-cuda[%d]: ", LOG_DAEMON | LOG_ERR, getpid());
	va_start(args, format);
	vsnprintf(line + len, sizeof(line) - len, format, args);
	va_end(args);
	/* Without a log, or with one that is full, there is nobody to tell. */
	(void)!sendto(fd, line, strlen(line), MSG_NOSIGNAL, (const struct sockaddr *)&address,
		      sizeof(address));
	close(fd);
}
