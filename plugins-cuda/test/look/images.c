// SPDX-License-Identifier: MIT
/* Description: host memory for a restore, by the sizes of the images. */
#include <fcntl.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "test/look/look_test.h"

static bool is_refused(void)
{
	struct ccr_look look;
	bool refused;

	CHECK(!ccr_look_at_images(&request, &look));
	refused = ccr_look_refuses(&look, false);
	CHECK(!ccr_look_refuses(&look, true)); /* an estimate */
	CHECK(!refused || look.reasons[0].kind == CCR_LOOK_RESTORE_MEMORY);
	ccr_look_free(&look);
	return refused;
}

static void open_images(void)
{
	char path[64];

	snprintf(path, sizeof(path), "%s/images", request.root);
	request.images_dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK(request.images_dir >= 0);
}

int main(int argc, char **argv)
{
	look_begin(argv[1]);
	fake_file("images/pages-1.img", "%10000s", "");
	fake_file("images/cuda-pages-77-0.img", "%10000s", "");
	fake_file("images/core-77.img", "%100000s", "");
	open_images();
	CHECK(!is_refused());
	fake_file("proc/meminfo", "MemAvailable: 16 kB\n");
	CHECK(is_refused());
	/* Holes need no memory. */
	fake_file("proc/meminfo", "MemAvailable: 40 kB\n");
	CHECK(!faccessat(request.images_dir, "pages-1.img", F_OK, 0));
	CHECK(!ftruncate(openat(request.images_dir, "pages-1.img", O_RDWR | O_CLOEXEC), 1 << 30));
	CHECK(!is_refused());
	close(request.images_dir);
	look_end();
	return failures ? 1 : 0;
}
