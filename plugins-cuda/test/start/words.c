// SPDX-License-Identifier: MIT
/* Which command lines let the helper start before Node. */
#include "start/start.h"

#include <stddef.h>
#include <string.h>

#include "test/check.h"

#define READ(typed, ...) start_read_words((char *const[]){__VA_ARGS__, NULL}, typed)

static void check_restores(void)
{
	struct typed typed;

	CHECK(READ(&typed, "restore", "dir") && !strcmp(typed.images_dir, "dir"));
	CHECK(READ(&typed, "restore", "--detach", "dir", "--json"));
	CHECK(!strcmp(typed.images_dir, "dir"));
	CHECK(READ(&typed, "restore", "--trace", "-x", "dir", "--log=file"));
	CHECK(!strcmp(typed.images_dir, "dir"));
	CHECK(READ(&typed, "restore", "--libdir", "/plugin", "--images-dir=dir"));
	CHECK(!strcmp(typed.images_dir, "dir") && !strcmp(typed.libdir, "/plugin"));
	CHECK(READ(&typed, "restore", "dir") && typed.is_restore && !typed.libdir);
	CHECK(!READ(&typed, "restore"));
	CHECK(!READ(&typed, "restore", "--pid", "1", "dir"));
	CHECK(!READ(&typed, "restore", "dir", "other"));
	CHECK(!READ(&typed, "restore", "dir", "--trace"));
	CHECK(!READ(&typed, "restore", "dir", "--variant", "full"));
	CHECK(!READ(&typed, "restore", "dir", "--variant=full"));
	CHECK(!READ(&typed, "restore", "dir", "--detach=no"));
	CHECK(!READ(&typed, "restore", "dir", "--isolated"));
	CHECK(!READ(&typed, "restore", "dir", "--help"));
	CHECK(!READ(&typed, "restore", "dir", "--", "-v4"));
}

static void check_dumps(void)
{
	struct typed typed;

	CHECK(READ(&typed, "checkpoint", "4711", "dir", "--leave-running"));
	CHECK(typed.pid == 4711 && !typed.is_restore);
	CHECK(READ(&typed, "checkpoint", "dir", "--pid", "4711") && typed.pid == 4711);
	CHECK(!READ(&typed, "checkpoint", "4711"));
	CHECK(!READ(&typed, "checkpoint", "dir"));
	CHECK(!READ(&typed, "checkpoint", "4711", "dir", "--pid"));
	CHECK(!READ(&typed, "checkpoint", "", "dir"));
	CHECK(!READ(&typed, "checkpoint", "0", "dir"));
	CHECK(!READ(&typed, "checkpoint", "-1", "dir"));
	CHECK(!READ(&typed, "checkpoint", "4294967297", "dir"));
	CHECK(!READ(&typed, "checkpoint", "47x", "dir"));
	CHECK(!READ(&typed, "checkpoint", "1", "2", "3"));
}

int main(void)
{
	struct typed typed;

	check_restores();
	check_dumps();
	CHECK(!start_read_words((char *const[]){NULL}, &typed));
	CHECK(!READ(&typed, "wake", "1", "dir"));
	CHECK(!READ(&typed, "--json", "restore", "dir"));
	return failures != 0;
}
