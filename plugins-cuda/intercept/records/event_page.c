// SPDX-License-Identifier: MIT
#include "intercept/records/event_page.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "intercept/core/mailbox.h"
#include "intercept/keeper/fetch.h"
#include "intercept/keeper/keeper.h"

/* The C library has these since 2.27 only. */
#define MEMFD_FLAGS (1u | 2u) /* MFD_CLOEXEC | MFD_ALLOW_SEALING */
#define ADD_SEALS   1033
#define GET_SEALS   1034
#define SEALS	    (1 | 2 | 4) /* F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW */

struct ccr__event_page *ccr__event_pages;

/* --- files and mappings --- */

/* A new file with these bytes, or zeroes. Returns its descriptor, or -errno. */
static int make_file(const void *bytes)
{
	const int fd = (int)syscall(SYS_memfd_create, "criu-cuda-events", MEMFD_FLAGS);
	const ssize_t size = CCR__EVENT_PAGE_BYTES;
	int ret;

	if (fd < 0)
		return -errno;
	if (!ftruncate(fd, size) && (!bytes || pwrite(fd, bytes, size, 0) == size) &&
	    !fcntl(fd, ADD_SEALS, SEALS))
		return fd;
	ret = -errno;
	close(fd);
	return ret;
}

/* Before 2.33, the C library has no function of this name. Returns 0 or -errno. */
static int file_status(int fd, struct stat *st)
{
	return syscall(SYS_fstat, fd, st) ? -errno : 0;
}

/* The process that gave it cannot cut it off while we use it. */
static bool is_right(int fd, const struct stat *st)
{
	const int seals = fcntl(fd, GET_SEALS); /* -1: not a memory file */

	return seals >= 0 && (seals & SEALS) == SEALS && st->st_size == CCR__EVENT_PAGE_BYTES;
}

/* Maps it at `at`, or anywhere. */
static int map_file(struct ccr__event_page *page, int fd, void *at)
{
	void *mapped;
	struct stat st;
	const int ret = file_status(fd, &st);

	if (ret || !is_right(fd, &st))
		return ret ? ret : -EINVAL;
	mapped = mmap(at, CCR__EVENT_PAGE_BYTES, PROT_READ | PROT_WRITE,
		      MAP_SHARED | (at ? MAP_FIXED : 0), fd, 0);
	if (mapped == MAP_FAILED)
		return -errno;
	madvise(mapped, CCR__EVENT_PAGE_BYTES, MADV_DONTFORK);
	if (!at)
		page->slots = mapped;
	page->inode = st.st_ino;
	return 0;
}

static struct ccr__event_page *add(int fd, bool is_foreign, int *error)
{
	struct ccr__event_page *page = calloc(1, sizeof(*page));

	*error = page ? map_file(page, fd, NULL) : -ENOMEM;
	if (!*error) {
		*error = ccr__keep(fd, &page->kept);
		if (*error)
			munmap(page->slots, CCR__EVENT_PAGE_BYTES);
	}
	if (*error) {
		free(page);
		return NULL;
	}
	page->id = ccr__memory.next_id++;
	page->is_foreign = is_foreign;
	page->next = ccr__event_pages;
	ccr__event_pages = page;
	return page;
}

static void forget(struct ccr__event_page *page)
{
	struct ccr__event_page **link = &ccr__event_pages;

	while (*link != page)
		link = &(*link)->next;
	*link = page->next;
	munmap(page->slots, CCR__EVENT_PAGE_BYTES);
	free(page);
}

struct ccr__event_page *ccr__event_page_new(void)
{
	struct ccr__event_page *page;
	struct ccr__token token;
	int fd, error;

	if (syscall(SYS_getrandom, &token, sizeof(token), 0) != sizeof(token))
		return NULL;
	fd = make_file(NULL);
	if (fd < 0)
		return NULL;
	page = add(fd, false, &error);
	close(fd);
	if (page)
		page->token = token;
	else
		ccr_warn("events that processes share are left to the driver: %s",
			 strerror(-error));
	return page;
}

/* --- other processes --- */

int ccr__event_page_publish(struct ccr__event_page *page)
{
	int ret;

	if (page->is_published)
		return 0;
	ret = ccr__keep_publish(page->kept, &page->token);
	if (ret)
		return ret;
	page->is_published = true;
	__atomic_add_fetch(&ccr__mailbox->event_pages, 1, __ATOMIC_RELAXED);
	return 0;
}

static bool is_same(const struct ccr__token *a, const struct ccr__token *b)
{
	return a->random[0] == b->random[0] && a->random[1] == b->random[1];
}

/* `inode` 0: one that is certainly the one of now, because events of it are in use. */
static struct ccr__event_page *find_foreign(const struct ccr__token *token, uint64_t inode)
{
	struct ccr__event_page *page = ccr__event_pages;

	while (page && !(page->is_foreign && is_same(&page->token, token) &&
			 (inode ? page->inode == inode : page->nr_used)))
		page = page->next;
	return page;
}

struct ccr__event_page *ccr__event_page_open(pid_t pid, const struct ccr__token *token, int *error)
{
	struct ccr__event_page *page;
	struct stat st;
	int fd;

	ccr__memory_lock();
	page = find_foreign(token, 0);
	if (page)
		return page;
	ccr__memory_unlock();
	fd = ccr__keep_fetch(pid, token);
	*error = fd < 0 ? fd : file_status(fd, &st);
	if (fd < 0)
		return NULL;
	ccr__memory_lock();
	if (!*error) {
		page = find_foreign(token, st.st_ino);
		if (!page)
			page = add(fd, true, error);
		if (page)
			page->token = *token;
	}
	close(fd);
	if (!page)
		ccr__memory_unlock();
	return page;
}

/* --- evict --- */

struct ccr__event_page *ccr__event_page_by_id(uint64_t id)
{
	struct ccr__event_page *page = ccr__event_pages;

	while (page && page->id != id)
		page = page->next;
	return page;
}

static int copy(struct ccr__event_page *page)
{
	void *bytes = mmap(NULL, CCR__EVENT_PAGE_BYTES, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (bytes == MAP_FAILED)
		return -errno;
	page->copy = memcpy(bytes, page->slots, CCR__EVENT_PAGE_BYTES);
	return 0;
}

static void leave(struct ccr__event_page *page)
{
	if (mremap(page->copy, CCR__EVENT_PAGE_BYTES, CCR__EVENT_PAGE_BYTES,
		   MREMAP_MAYMOVE | MREMAP_FIXED, page->slots) == MAP_FAILED) {
		ccr_err("cannot replace the page of shared events: %s", strerror(errno));
		munmap(page->copy, CCR__EVENT_PAGE_BYTES);
	}
	page->copy = NULL;
	page->is_private = true;
	page->kept = 0;
}

int ccr__event_pages_prepare(CUresult *result)
{
	int ret = 0;

	for (struct ccr__event_page *page = ccr__event_pages; !ret && page; page = page->next) {
		*result = ccr__event_page_unregister(page);
		ret = *result == CUDA_SUCCESS ? copy(page) : -EIO;
	}
	if (ret)
		ccr__event_pages_stay();
	return ret;
}

void ccr__event_pages_stay(void)
{
	for (struct ccr__event_page *page = ccr__event_pages; page; page = page->next) {
		if (page->copy)
			munmap(page->copy, CCR__EVENT_PAGE_BYTES);
		page->copy = NULL;
		ccr__event_page_register_again(page);
	}
}

void ccr__event_pages_leave(void)
{
	struct ccr__event_page *next;

	if (ccr__event_pages)
		ccr__keep_end();
	for (struct ccr__event_page *page = ccr__event_pages; page; page = next) {
		next = page->next;
		leave(page);
		/* Nothing refers to it, and nobody would give it back. */
		if (page->is_foreign && !page->nr_used)
			forget(page);
	}
}

/* --- attach --- */

int ccr__event_page_take(struct ccr__event_page *page, int fd)
{
	int ret = map_file(page, fd, page->slots);

	if (ret)
		return ret;
	page->is_private = false;
	page->is_attached = true;
	ccr__keep_drop(page->kept);
	page->kept = 0;
	ret = ccr__keep(fd, &page->kept);
	if (!ret && page->is_published)
		ret = ccr__keep_publish(page->kept, &page->token);
	if (ret)
		ccr_warn("the events that this process shares cannot be dumped again: %s",
			 strerror(-ret));
	return 0;
}

int ccr__event_pages_return(void)
{
	int ret = 0;

	for (struct ccr__event_page *page = ccr__event_pages; !ret && page; page = page->next) {
		int fd;

		if (page->is_foreign || !page->is_private)
			continue;
		fd = make_file(page->slots);
		ret = fd < 0 ? fd : ccr__event_page_take(page, fd);
		if (fd >= 0)
			close(fd);
	}
	return ret;
}

int ccr__event_page_export(const struct ccr__event_page *page)
{
	return ccr__keep_fetch(getpid(), &page->token);
}

bool ccr__event_pages_are_there(void)
{
	const struct ccr__event_page *page = ccr__event_pages;

	while (page && !page->is_private)
		page = page->next;
	return !page;
}

void ccr__event_pages_attached(bool keep)
{
	for (struct ccr__event_page *page = ccr__event_pages; page; page = page->next) {
		if (!page->is_attached)
			continue;
		page->is_attached = false;
		if (keep)
			ccr__event_page_register_again(page);
		else if (copy(page))
			ccr_err("cannot save the page of shared events: %s", strerror(errno));
		else
			leave(page);
	}
	if (!keep && ccr__event_pages)
		ccr__keep_end();
}

void ccr__event_pages_reset(void)
{
	ccr__event_pages = NULL;
	ccr__mailbox->event_imports = ccr__mailbox->event_exports = 0;
	ccr__mailbox->event_pages = ccr__mailbox->event_opens = 0;
}
