// SPDX-License-Identifier: MIT
#include "isolate/isolate.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static int raise_device(void)
{
	struct ifreq request = {.ifr_name = "lo"};
	const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int ret = 0;

	if (fd < 0)
		return -errno;
	if (ioctl(fd, SIOCGIFFLAGS, &request))
		ret = -errno;
	request.ifr_flags |= IFF_UP | IFF_RUNNING;
	if (!ret && ioctl(fd, SIOCSIFFLAGS, &request))
		ret = -errno;
	close(fd);
	return ret;
}

/* A kernel without IPv6 has not both. */
static void allow(const char *path)
{
	const int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	(void)!write(fd, "1", 1);
	close(fd);
}

/*
 * A server may listen at an address of the machine, which is none of this namespace. It listens
 * there nevertheless, and is reached once a device has the address.
 */
int isolate_start_loopback(void)
{
	allow("/proc/sys/net/ipv4/ip_nonlocal_bind");
	allow("/proc/sys/net/ipv6/ip_nonlocal_bind");
	return raise_device();
}
