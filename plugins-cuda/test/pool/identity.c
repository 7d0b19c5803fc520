// SPDX-License-Identifier: MIT
/*
 * A resident image is used only while its files are the same. Files of two file
 * systems can have the same inode number, length and time.
 */
#include "pool/images/identity.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <unistd.h>

#include "test/check.h"

static char dir[] = "/tmp/ccr-identity-XXXXXX";

static void path_of(char *out, size_t size, const char *name)
{
	snprintf(out, size, "%s/%s", dir, name);
}

/* A new tmpfs with a manifest, which has the same inode number in each. */
static int make_store(const char *name)
{
	const struct timespec times[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
	char path[64];
	int dirfd, fd;

	path_of(path, sizeof(path), name);
	CHECK(!mkdir(path, 0700));
	if (mount("none", path, "tmpfs", 0, "size=64k"))
		return -1;
	dirfd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fd = openat(dirfd, "cuda-7.img", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	CHECK(dirfd >= 0 && fd >= 0 && write(fd, name, 1) == 1);
	CHECK(!futimens(fd, times));
	close(fd);
	return dirfd;
}

int main(void)
{
	struct image_identity one, two, again;
	char first[80], second[80], command[128];
	int fd, other;

	CHECK(mkdtemp(dir));
	fd = make_store("a");
	if (fd < 0) {
		snprintf(command, sizeof(command), "rm -r %s", dir);
		return system(command) ? 1 : 77; /* only root can mount */
	}
	other = make_store("b");
	CHECK(!image_identify(fd, 7, &one) && !image_identify(other, 7, &two));
	CHECK(one.manifest == two.manifest && one.bytes == two.bytes);
	CHECK(!image_is_same(&one, &two));

	CHECK(!image_identify(fd, 7, &again));
	CHECK(image_is_same(&one, &again) && image_is_unchanged(&one, &again));
	path_of(first, sizeof(first), "a/cuda-7.img");
	path_of(second, sizeof(second), "b/cuda-7.img");
	CHECK(!mount(second, first, NULL, MS_BIND, NULL));
	CHECK(!image_identify(fd, 7, &again));
	CHECK(image_is_same(&one, &again));
	CHECK(!image_is_unchanged(&one, &again));

	close(fd);
	close(other);
	CHECK(!umount(first));
	snprintf(command, sizeof(command), "umount %s/a %s/b && rm -r %s", dir, dir, dir);
	CHECK(!system(command));
	return failures ? 1 : 0;
}
