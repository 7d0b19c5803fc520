// SPDX-License-Identifier: GPL-2.0-only
/*
 * Host memory of a stopped child is chosen, stored, emptied and filled. What is
 * compared is the child: its list of mappings, and its bytes.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/io.h"
#include "image/checksum/checksum.h"
#include "image/pages/pages.h"
#include "plugin/host/remap/remap.h"
#include "plugin/task/state.h"
#include "test/check.h"
#include "test/plugin/smaps_field.h"
#include "test/plugin/stopped_child.h"

#define KIB	   1024ull
#define MIB	   (1024 * KIB)
#define PAGE	   (4 * KIB)
#define BYTES	   (4 * MIB)
#define NR_RUNS	   65000ull /* every other page */
#define MAPS_BYTES (8 * MIB)

/* Addresses are the same here and in the child: made before the fork, filled after it. */
static char *plain, *readonly, *sparse, *shared, *forked, *small, *twins[2];

static char *map(uint64_t bytes, int flags)
{
	/* Between inaccessible pages: the kernel merges neighbors. */
	char *apart = mmap(NULL, bytes + 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return mmap(apart + PAGE, bytes, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS | MAP_FIXED,
		    -1, 0);
}

static void write_pattern(char *memory, uint64_t bytes, uint64_t step, uint64_t seed)
{
	for (uint64_t at = 0; at < bytes; at += step)
		for (uint64_t i = 0; i < PAGE; i += sizeof(uint64_t))
			*(uint64_t *)(memory + at + i) = (at + i + seed) * 0x9e3779b97f4a7c15ull;
}

/*
 * Two files that look like shared anonymous memory and have the same inode number,
 * because each is the first file of a file system of its own.
 */
static void map_twins(void)
{
	struct stat files[2];

	CHECK(!unshare(CLONE_NEWNS) && !mount(NULL, "/", NULL, MS_PRIVATE | MS_REC, NULL));
	for (int i = 0; i < 2; i++) {
		int fd;

		CHECK(!mount("tmpfs", "/dev", "tmpfs", 0, NULL));
		fd = open("/dev/zero", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		CHECK(!ftruncate(fd, BYTES) && !fstat(fd, &files[i]));
		CHECK(mmap(twins[i], BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd,
			   0) == twins[i]);
		CHECK(!unlink("/dev/zero"));
		close(fd);
		write_pattern(twins[i], BYTES, PAGE, 7 + i);
	}
	CHECK(files[0].st_ino == files[1].st_ino && files[0].st_dev != files[1].st_dev);
	if (failures) {
		fflush(stdout);
		_exit(1);
	}
}

static void prepare_child(void)
{
	if (twins[0])
		map_twins();
	write_pattern(plain, BYTES, PAGE, 1);
	write_pattern(readonly, BYTES, PAGE, 2);
	write_pattern(sparse, NR_RUNS * 2 * PAGE, 2 * PAGE, 3);
	mmap(shared, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	write_pattern(shared, BYTES, PAGE, 4);
	write_pattern(small, 256 * KIB, PAGE, 6);
	mprotect(readonly, BYTES, PROT_READ);
}

static char *read_maps(pid_t pid)
{
	char path[48], *text = calloc(1, MAPS_BYTES);
	size_t size = 0;
	ssize_t got;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	while (text && (got = read(fd, text + size, MAPS_BYTES - 1 - size)) > 0)
		size += got;
	close(fd);
	return text;
}

static size_t count_lines(const char *text)
{
	size_t nr = 0;

	for (; *text; text++)
		nr += *text == '\n';
	return nr;
}

/* Whether the child has the pattern; holes are zeroes. */
static bool has_pattern(pid_t pid, char *memory, uint64_t bytes, uint64_t step, uint64_t seed)
{
	char *copy = calloc(1, bytes), *expected = calloc(1, bytes);
	const struct iovec here = {copy, bytes}, there = {memory, bytes};
	bool is_same;

	write_pattern(expected, bytes, step, seed);
	is_same = process_vm_readv(pid, &here, 1, &there, 1, 0) == (ssize_t)bytes &&
		  !memcmp(copy, expected, bytes);
	free(copy);
	free(expected);
	return is_same;
}

static bool is_right(pid_t pid)
{
	return has_pattern(pid, plain, BYTES, PAGE, 1) &&
	       has_pattern(pid, readonly, BYTES, PAGE, 2) &&
	       has_pattern(pid, sparse, NR_RUNS * 2 * PAGE, 2 * PAGE, 3) &&
	       has_pattern(pid, shared, BYTES, PAGE, 4) &&
	       (!twins[0] || (has_pattern(pid, twins[0], BYTES, PAGE, 7) &&
			      has_pattern(pid, twins[1], BYTES, PAGE, 8)));
}

static bool is_readable(pid_t pid, const char *address)
{
	char byte;
	const struct iovec here = {&byte, 1}, there = {(void *)address, 1};

	return process_vm_readv(pid, &here, 1, &there, 1, 0) == 1;
}

static const struct remap_mapping *find(const struct remap_plan *plan, const char *address)
{
	for (size_t i = 0; i < plan->nr_mappings; i++)
		if (plan->mappings[i].address <= (uintptr_t)address &&
		    plan->mappings[i].address + plan->mappings[i].size > (uintptr_t)address)
			return &plan->mappings[i];
	return NULL;
}

/* As page_file.c does it, in memory. */
static void describe(struct ccr_pages *pages, const struct remap_plan *plan)
{
	*pages = (struct ccr_pages){.pid = 1,
				    .size = plan->file_size,
				    .chunk_size = REMAP_CHUNK,
				    .nr_chunks = (plan->file_size + REMAP_CHUNK - 1) / REMAP_CHUNK};
	pages->xxh3 = calloc(pages->nr_chunks, sizeof(*pages->xxh3));
	pages->mappings = calloc(plan->nr_pieces, sizeof(*pages->mappings));
	pages->emptied = calloc(plan->nr_mappings, sizeof(*pages->emptied));
	ccr_pages_name(pages);
	for (size_t i = 0; i < plan->nr_pieces; i++)
		pages->mappings[pages->nr_mappings++] = (struct ccr_pages_mapping){
			plan->pieces[i].address, plan->pieces[i].size, plan->pieces[i].offset,
			false, plan->pieces[i].mapping->is_shared};
	for (size_t i = 0; i < plan->nr_mappings; i++)
		pages->emptied[pages->nr_emptied++] = (struct ccr_pages_emptied){
			plan->mappings[i].address, plan->mappings[i].size, plan->mappings[i].prot,
			!plan->mappings[i].is_in_use, plan->mappings[i].may_be_late};
}

static void copy(const struct remap_plan *plan, pid_t pid, int fd, uint64_t *xxh3)
{
	struct remap_copy *copying;
	int result;

	CHECK(!ccr__work_start());
	CHECK(!ccr__remap_copy_begin(&copying, plan, pid, fd, xxh3));
	ccr__work_add(ccr__remap_copy_work(copying));
	while (!ccr__work_is_done(ccr__remap_copy_work(copying), &result))
		usleep(1000);
	CHECK(!result);
	ccr__remap_copy_end(copying);
	ccr__work_stop();
}

static void test_round_trip(void)
{
	const struct remap_wishes wishes = {.min_bytes = MIB};
	const pid_t pid = start(prepare_child);
	const int fd = memfd_create("pages", MFD_CLOEXEC);
	char *before = read_maps(pid), *emptied, *after;
	const uint64_t resident_before = smaps_field(pid, sparse, "Rss");
	uint64_t wrong = 1, bytes;
	struct ccr_pages pages;
	struct remap_plan plan;
	size_t nr;

	CHECK(!ccr__remap_choose(&plan, pid, &wishes));
	CHECK(find(&plan, plain) && find(&plan, readonly) && find(&plan, sparse));
	CHECK(find(&plan, shared) && find(&plan, shared)->is_shared);
	for (int i = 0; i < 2 && twins[0]; i++)
		CHECK(find(&plan, twins[i]) && find(&plan, twins[i])->is_shared);
	CHECK(!find(&plan, forked)); /* this process has it, too */
	CHECK(!find(&plan, small));
	CHECK(plan.stored >= 3 * BYTES + NR_RUNS * PAGE);
	describe(&pages, &plan);
	CHECK(!ftruncate(fd, plan.file_size));
	copy(&plan, pid, fd, pages.xxh3);

	CHECK(!ccr__remap_empty(&plan, pid, -1, &nr) && nr == plan.nr_mappings);
	emptied = read_maps(pid);
	CHECK(count_lines(emptied) <= count_lines(before));
	CHECK(!is_readable(pid, plain) && !is_readable(pid, shared) && !is_readable(pid, readonly));
	CHECK(is_readable(pid, forked));

	/* May be repeated. */
	for (int round = 0; round < 2; round++) {
		CHECK(!ccr__remap_fill(pid, &pages, fd, &bytes));
		after = read_maps(pid);
		CHECK(!strcmp(before, after));
		free(after);
		CHECK(is_right(pid));
	}
	/* Pages of zeroes are not made. */
	CHECK(smaps_field(pid, sparse, "Rss") <= resident_before);
	CHECK(bytes >= plan.stored);

	CHECK(!ccr__remap_empty(&plan, pid, -1, &nr));
	CHECK(pwrite(fd, &wrong, sizeof(wrong), plan.pieces[plan.nr_pieces - 1].offset) ==
	      sizeof(wrong));
	CHECK(ccr__remap_fill(pid, &pages, fd, &bytes) == -EBADMSG);

	stop(pid);
	close(fd);
	free(before);
	free(emptied);
	free(pages.xxh3);
	free(pages.mappings);
	free(pages.emptied);
	ccr__remap_free(&plan);
}

/* ---- images of 0.2.0 ---- */

static char old_dir[] = "/tmp/ccr-host-memory-XXXXXX";
static char old_file[128];

/* As a process is after CRIU has restored it: its own memory, shared memory and the driver's. */
static void map_page_file(void)
{
	const int fd = open(old_file, O_RDONLY | O_CLOEXEC);

	mmap(plain, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, fd, 0);
	mmap(readonly, BYTES, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd, BYTES);
	madvise(readonly, BYTES, MADV_DONTFORK);
	mmap(shared, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, fd, 2 * BYTES);
	mmap(sparse, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, fd, 3 * BYTES);
	close(fd);
}

static bool has_line(const char *maps, const char *address, const char *perms, const char *file)
{
	char start[32];
	const char *line, *end;

	snprintf(start, sizeof(start), "%lx-", (unsigned long)address);
	line = strstr(maps, start);
	end = line ? strchr(line, '\n') : NULL;
	return end && memmem(line, end - line, perms, strlen(perms)) &&
	       (*file ? !!memmem(line, end - line, file, strlen(file))
		      : !memchr(line, '/', end - line));
}

/* Compares what the driver would read, in `nr` chunks. */
static int compare(const struct ccr_pages *pages, int fd, size_t nr)
{
	struct remap_compare *all = ccr__remap_compare_new(pages, fd);
	struct work *work = ccr__remap_compare_work(all);
	int ret;

	CHECK(work->nr_pieces == nr);
	ccr__work_add(work);
	CHECK(ccr__work_is_done(work, &ret)); /* without threads */
	ccr__work_stop();
	ccr__remap_compare_end(all, ret);
	return ret;
}

static void test_old_image(void)
{
	uint64_t xxh3[4];
	struct ccr_pages_mapping mappings[] = {
		{(uintptr_t)plain, BYTES, 0, false, false},
		{(uintptr_t)readonly, BYTES, BYTES, false, false},
		{(uintptr_t)shared, BYTES, 2 * BYTES, false, true},
		{(uintptr_t)sparse, BYTES, 3 * BYTES, true, false},
	};
	struct ccr_pages pages = {.pid = 1,
				  .size = 4 * BYTES,
				  .chunk_size = BYTES,
				  .nr_chunks = 4,
				  .xxh3 = xxh3,
				  .nr_mappings = 4,
				  .mappings = mappings};
	char *bytes = calloc(1, BYTES), *maps;
	uint64_t filled;
	pid_t pid;
	int fd;

	CHECK(mkdtemp(old_dir));
	ccr_pages_name(&pages);
	snprintf(old_file, sizeof(old_file), "%s/%s", old_dir, pages.file);
	fd = open(old_file, O_RDWR | O_CREAT | O_CLOEXEC, 0400);
	for (int i = 0; i < 4; i++) {
		write_pattern(bytes, BYTES, PAGE, i + 1);
		xxh3[i] = ccr_xxh3(bytes, BYTES);
		CHECK(!ccr_io_pwrite_full(fd, bytes, BYTES, i * BYTES));
	}
	pid = start(map_page_file);
	CHECK(!ccr__remap_fill(pid, &pages, fd, &filled) && filled == 3 * BYTES);
	maps = read_maps(pid);
	CHECK(has_line(maps, plain, " rw-p ", "") && has_line(maps, readonly, " r--p ", ""));
	CHECK(has_line(maps, shared, " rw-s ", "/dev/zero"));
	CHECK(has_line(maps, sparse, " rw-p ", "cuda-pages"));
	CHECK(has_pattern(pid, plain, BYTES, PAGE, 1) &&
	      has_pattern(pid, readonly, BYTES, PAGE, 2));
	CHECK(has_pattern(pid, shared, BYTES, PAGE, 3) && has_pattern(pid, sparse, BYTES, PAGE, 4));
	/* What the driver reads is compared, too. */
	CHECK(!compare(&pages, fd, 1));
	xxh3[3]++;
	CHECK(compare(&pages, fd, 1) == -EBADMSG);
	xxh3[3]--;
	/* Its pieces may be in another order in the file than in memory. */
	mappings[2] = (struct ccr_pages_mapping){(uintptr_t)shared, BYTES, 3 * BYTES, true, false};
	mappings[3] = (struct ccr_pages_mapping){(uintptr_t)sparse, BYTES, 2 * BYTES, true, false};
	CHECK(!compare(&pages, fd, 2));
	xxh3[2]++;
	CHECK(compare(&pages, fd, 2) == -EBADMSG);
	stop(pid);
	close(fd);
	unlink(old_file);
	rmdir(old_dir);
	free(maps);
	free(bytes);
}

int main(void)
{
	ccr__plugin.settings.step_timeout_ms = 60000;
	ccr__plugin.settings.streams = 8;
	ccr__plugin.settings.verify = 1;
	plain = map(BYTES, MAP_PRIVATE);
	readonly = map(BYTES, MAP_PRIVATE);
	sparse = map(NR_RUNS * 2 * PAGE, MAP_PRIVATE);
	forked = map(BYTES, MAP_PRIVATE);
	small = map(256 * KIB, MAP_PRIVATE);
	write_pattern(forked, BYTES, PAGE, 5);
	/* This process must not have it, so it is mapped in the child only. */
	shared = map(BYTES, MAP_PRIVATE);
	for (int i = 0; i < 2 && !geteuid(); i++)
		twins[i] = map(BYTES, MAP_PRIVATE);
	if (!twins[0])
		puts("skipped: files with one inode number on two file systems: only root can "
		     "mount them");
	test_round_trip();
	test_old_image();
	return failures ? 1 : 0;
}
