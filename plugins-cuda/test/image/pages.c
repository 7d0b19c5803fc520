// SPDX-License-Identifier: MIT
/*
 * Manifests of page files: written values are read back; the message about an
 * invalid value names it.
 */
#include "image/pages/pages.h"

#include <errno.h>

#include "test/image/image_test.h"

#define PID	7
#define NR	3
#define ADDRESS 0x10000ull

static const struct ccr_pages_mapping good[NR] = {
	{ADDRESS, 8 * KIB, 0, false, false},
	{ADDRESS + 8 * KIB, 4 * KIB, 60 * KIB, true, false}, /* adjacent to the previous one */
	{UINT64_MAX - 8 * KIB + 1, 4 * KIB, 8 * KIB, false, true},
};

static int reread(int dirfd, const struct ccr_pages_mapping *mappings, struct ccr_pages **out)
{
	static uint64_t xxh3[1] = {42};
	struct ccr_pages pages = {.pid = PID,
				  .tool = "test",
				  .directory = "/images",
				  .size = 64 * KIB,
				  .stored = 16 * KIB,
				  .chunk_size = 64 * KIB,
				  .nr_chunks = 1,
				  .xxh3 = xxh3,
				  .nr_mappings = NR,
				  .mappings = (struct ccr_pages_mapping *)mappings};

	image_error[0] = '\0';
	ccr_pages_name(&pages);
	CHECK(!ccr_pages_write(&pages, dirfd, image_error, sizeof(image_error)));
	return ccr_pages_open(out, dirfd, PID, image_error, sizeof(image_error));
}

static void test_good(int dirfd)
{
	struct ccr_pages *pages;

	CHECK(!reread(dirfd, good, &pages));
	CHECK(pages->size == 64 * KIB && pages->stored == 16 * KIB && pages->xxh3[0] == 42);
	CHECK(!strcmp(pages->directory, "/images") && pages->nr_mappings == NR);
	for (int i = 0; i < NR; i++) {
		const struct ccr_pages_mapping *m = &pages->mappings[i];

		CHECK(m->address == good[i].address && m->size == good[i].size &&
		      m->offset == good[i].offset && m->is_drivers == good[i].is_drivers &&
		      m->is_shared == good[i].is_shared);
	}
	ccr_pages_close(pages);
}

static void test_bad(int dirfd)
{
	static const struct {
		const char *field, *value;
		int which;
		struct ccr_pages_mapping mapping;
	} cases[] = {
		{"address", "65537", 0, {ADDRESS + 1, 4 * KIB, 0, false, false}},
		{"address",
		 "18446744073709547520",
		 2,
		 {UINT64_MAX - 4 * KIB + 1, 4 * KIB, 0, false, true}},
		{"address", "69632", 1, {ADDRESS + 4 * KIB, 4 * KIB, 0, false, false}},
		{"address", "4096", 1, {4 * KIB, 4 * KIB, 0, false, false}},
		{"size", "0", 1, {ADDRESS + 8 * KIB, 0, 0, false, false}},
		{"size", "69632", 1, {ADDRESS + 8 * KIB, 68 * KIB, 0, false, false}},
		{"offset", "61440", 1, {ADDRESS + 8 * KIB, 8 * KIB, 60 * KIB, false, false}},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ccr_pages_mapping mappings[NR];
		struct ccr_pages *pages;

		memcpy(mappings, good, sizeof(good));
		mappings[cases[i].which] = cases[i].mapping;
		CHECK(reread(dirfd, mappings, &pages) == -EINVAL);
		SAYS(image_error, "cuda-host-7.img: ", cases[i].field);
		SAYS(image_error, cases[i].value, "of a mapping");
	}
}

int main(void)
{
	const int dirfd = image_directory();

	test_good(dirfd);
	test_bad(dirfd);
	return 0;
}
