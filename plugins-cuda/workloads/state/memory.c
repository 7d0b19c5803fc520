// SPDX-License-Identifier: MIT
/*
 * Mappings of every kind. Each has two inaccessible pages around it, because the
 * kernel merges neighbors of one kind. Its content follows from its key, so a
 * check needs no copy. The last page is the scratch page: it is discarded and
 * written again in every check. The page before it has a different content in
 * each process of the tree.
 */
#include "workloads/state/state.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#ifndef PR_SET_VMA
#define PR_SET_VMA	     0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif

#define MAX_REGIONS 65 /* one of them is large */
#define HUGE_PAGE   (2u << 20)
#define WORDS	    (STATE_PAGE / sizeof(uint64_t))

enum backing { PRIVATE, SHARED, EXECUTABLE_FILE, MEMORY_FILE };
enum action { NOTHING, ADVISE, PROTECT, LOCK, NAME };

static const struct kind {
	const char *name;
	enum backing backing;
	enum action action;
	int value;    /* advice or protection */
	int flags;    /* for mmap */
	bool is_late; /* made by each process for itself, after the forks */
} kinds[] = {
	{"plain", PRIVATE, NOTHING, 0, 0, false},
	{"late", PRIVATE, NOTHING, 0, 0, true},
	{"noreserve", PRIVATE, NOTHING, 0, MAP_NORESERVE, false},
	{"shared", SHARED, NOTHING, 0, 0, false},
	{"alone", SHARED, NOTHING, 0, 0, true},
	{"file", EXECUTABLE_FILE, NOTHING, 0, 0, false},
	{"memfd", MEMORY_FILE, NOTHING, 0, 0, false},
	{"huge", PRIVATE, ADVISE, MADV_HUGEPAGE, 0, false},
	{"nohuge", PRIVATE, ADVISE, MADV_NOHUGEPAGE, 0, false},
	{"dontfork", PRIVATE, ADVISE, MADV_DONTFORK, 0, true},
	{"dontdump", PRIVATE, ADVISE, MADV_DONTDUMP, 0, false},
	{"wipeonfork", PRIVATE, ADVISE, MADV_WIPEONFORK, 0, true},
	{"sequential", PRIVATE, ADVISE, MADV_SEQUENTIAL, 0, false},
	{"random", PRIVATE, ADVISE, MADV_RANDOM, 0, false},
	{"locked", PRIVATE, LOCK, 0, 0, true},
	{"named", PRIVATE, NAME, 0, 0, false},
	{"readonly", PRIVATE, PROTECT, PROT_READ, 0, false},
	{"none", PRIVATE, PROTECT, PROT_NONE, 0, false},
	{"code", PRIVATE, PROTECT, PROT_READ | PROT_EXEC, 0, false},
	{"shared-readonly", SHARED, PROTECT, PROT_READ, 0, false},
};
#define NR_KINDS (sizeof(kinds) / sizeof(kinds[0]))

static struct region {
	const struct kind *kind;
	uint8_t *start;
	size_t bytes;
	uint64_t key;
	unsigned int period; /* every nth page is written, the others never */
} regions[MAX_REGIONS];
static int nr_regions;
static int own_role;
static uint64_t *shared_word;

static uint64_t word(const struct region *r, size_t page, size_t index)
{
	return ccr_mix64(r->key + page * WORDS + index);
}

static bool is_private(const struct region *r)
{
	return r->kind->backing == PRIVATE || r->kind->backing == EXECUTABLE_FILE;
}

static bool is_written(const struct region *r, size_t page)
{
	return page % r->period == 0 || page + 2 >= r->bytes / STATE_PAGE;
}

static void write_page(const struct region *r, size_t page, uint64_t change)
{
	uint64_t *words = (uint64_t *)(r->start + page * STATE_PAGE);

	for (size_t i = 0; i < WORDS; i++)
		words[i] = word(r, page, i) + change;
}

/* What this process has added to a page. */
static uint64_t change_of(const struct region *r, size_t page)
{
	return is_private(r) && page + 2 == r->bytes / STATE_PAGE ? (uint64_t)own_role : 0;
}

static int open_backing(const struct region *r)
{
	int fd = -1;

	if (r->kind->backing == EXECUTABLE_FILE)
		fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	if (r->kind->backing == MEMORY_FILE) {
		fd = memfd_create("state", MFD_CLOEXEC);
		if (fd >= 0 && ftruncate(fd, r->bytes))
			return -1;
	}
	return fd;
}

static int map(struct region *r)
{
	const bool is_huge = r->kind->action == ADVISE && r->kind->value == MADV_HUGEPAGE;
	const bool has_file = r->kind->backing > SHARED;
	const size_t room = r->bytes + 2 * (is_huge ? HUGE_PAGE : STATE_PAGE);
	const int flags = MAP_FIXED | r->kind->flags | (is_private(r) ? MAP_PRIVATE : MAP_SHARED) |
			  (has_file ? 0 : MAP_ANONYMOUS);
	uint8_t *reserved =
		mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	const int fd = open_backing(r);
	uintptr_t start = (uintptr_t)reserved + STATE_PAGE;
	void *mapped;

	if (reserved == MAP_FAILED || (has_file && fd < 0))
		return -1;
	if (is_huge)
		start = (start + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
	mapped = mmap((void *)start, r->bytes, PROT_READ | PROT_WRITE, flags, fd, 0);
	if (fd >= 0)
		close(fd);
	if (mapped == MAP_FAILED)
		return -1;
	r->start = mapped;
	return 0;
}

static int prepare(const struct region *r)
{
	switch (r->kind->action) {
	case ADVISE:
		return madvise(r->start, r->bytes, r->kind->value);
	case PROTECT:
		return mprotect(r->start, r->bytes, r->kind->value);
	case LOCK:
		return mlock(r->start, r->bytes);
	case NAME: /* a kernel without names is fine */
		prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, r->start, r->bytes, "state");
		break;
	case NOTHING:
		break;
	}
	return 0;
}

static int make(struct region *r)
{
	if (map(r) || (r->kind->action == ADVISE && prepare(r)))
		return -1;
	for (size_t page = 0; page < r->bytes / STATE_PAGE; page++)
		if (is_written(r, page))
			write_page(r, page, 0);
	return r->kind->action == ADVISE ? 0 : prepare(r);
}

/* Large ones are moved out of CRIU's images, small ones are not. */
static size_t random_bytes(const struct kind *kind, uint64_t *seed)
{
	if (kind->action == ADVISE && kind->value == MADV_HUGEPAGE)
		return HUGE_PAGE;
	if (kind->backing == EXECUTABLE_FILE)
		return 4 * STATE_PAGE;
	if (kind->action == LOCK)
		return (4 + state_random(seed, 12)) * STATE_PAGE;
	if (state_random(seed, 3))
		return (256 + state_random(seed, 256)) * STATE_PAGE;
	return (2 + state_random(seed, 64)) * STATE_PAGE;
}

static int make_all(bool is_late)
{
	for (int i = 0; i < nr_regions; i++)
		if (regions[i].kind->is_late == is_late && make(&regions[i]))
			return -1;
	return 0;
}

static void add_random(uint64_t *seed)
{
	struct region *r = &regions[nr_regions++];

	r->kind = &kinds[state_random(seed, NR_KINDS)];
	r->bytes = random_bytes(r->kind, seed);
	r->period = state_random(seed, 2) ? 1 : 1 + state_random(seed, 40);
	r->key = state_random(seed, UINT64_MAX);
}

int regions_make(const struct state_options *o)
{
	uint64_t seed = o->seed;

	shared_word =
		mmap(NULL, STATE_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared_word == MAP_FAILED)
		return -1;
	while (nr_regions < o->regions)
		add_random(&seed);
	if (o->large_mib)
		regions[nr_regions++] = (struct region){.kind = &kinds[0],
							.bytes = o->large_mib << 20,
							.key = state_random(&seed, UINT64_MAX),
							.period = 1};
	return make_all(false);
}

static int set_protection(const struct region *r, int protection)
{
	return r->kind->action == PROTECT ? mprotect(r->start, r->bytes, protection) : 0;
}

int regions_start(int role)
{
	own_role = role;
	if (make_all(true))
		return -1;
	for (int i = 0; i < nr_regions; i++) {
		const struct region *r = &regions[i];

		if (!is_private(r))
			continue;
		if (set_protection(r, PROT_READ | PROT_WRITE))
			return -1;
		write_page(r, r->bytes / STATE_PAGE - 2, role);
		if (set_protection(r, r->kind->value))
			return -1;
	}
	return 0;
}

/* Returns the offset of the first wrong word, or -1. */
static long find_wrong(const struct region *r)
{
	for (size_t page = 0; page < r->bytes / STATE_PAGE; page++) {
		const uint64_t *words = (const uint64_t *)(r->start + page * STATE_PAGE);
		const uint64_t change = change_of(r, page);

		if (!is_written(r, page) && r->kind->backing == EXECUTABLE_FILE)
			continue;
		for (size_t i = 0; i < WORDS; i++)
			if (words[i] != (is_written(r, page) ? word(r, page, i) + change : 0))
				return page * STATE_PAGE + i * sizeof(uint64_t);
	}
	return -1;
}

/* Discards the scratch page, which must be zero then, and writes it again. */
static const char *discard(const struct region *r)
{
	const size_t page = r->bytes / STATE_PAGE - 1;
	uint64_t *words = (uint64_t *)(r->start + page * STATE_PAGE);
	const char *found = "zero";

	if (r->kind->action == LOCK || r->kind->action == PROTECT || r->kind->backing > SHARED ||
	    (!is_private(r) && own_role))
		return "-";
	if (madvise(words, STATE_PAGE, is_private(r) ? MADV_DONTNEED : MADV_REMOVE))
		return strerrorname_np(errno);
	for (size_t i = 0; i < WORDS; i++)
		if (words[i])
			found = "old";
	write_page(r, page, change_of(r, page));
	return found;
}

static void report_region(struct report *report, int index)
{
	const struct region *r = &regions[index];
	const bool is_hidden = r->kind->action == PROTECT && r->kind->value == PROT_NONE;
	long wrong;

	if (is_hidden)
		mprotect(r->start, r->bytes, PROT_READ);
	wrong = find_wrong(r);
	if (is_hidden)
		mprotect(r->start, r->bytes, PROT_NONE);
	report_add(report, "%d.%s@%lx+%zx=", index, r->kind->name, (unsigned long)r->start,
		   r->bytes);
	if (wrong >= 0)
		report_add(report, "wrong@%lx", wrong);
	else
		report_add(report, "right,%s", discard(r));
	report_add(report, " ");
}

void regions_report(struct report *r)
{
	for (int i = 0; i < nr_regions; i++)
		report_region(r, i);
}

uint64_t *regions_shared_word(void)
{
	return shared_word;
}
