// SPDX-License-Identifier: MIT
/* Is there room for what a dump writes, and for what a restore fills? All of it is an estimate. */
#include "look/state.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "common/machine/memory.h"

static bool is_in_memory(int fd)
{
	struct statfs fs;

	return fd >= 0 && !fstatfs(fd, &fs) &&
	       (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC);
}

static uint64_t copied_of(const struct state *s, const struct process *p)
{
	return ccr__look_is_copied(s, p) ? p->device_bytes : 0;
}

/* Processes of one cgroup share what its limit leaves. */
static uint64_t copied_in_cgroup(const struct state *s, const struct process *of)
{
	uint64_t sum = 0;

	each_process(p, s) if (!strcmp(ccr_cgroups_memory(&p->cgroups),
				       ccr_cgroups_memory(&of->cgroups))) sum += copied_of(s, p);
	return sum;
}

/* True and a reason if `need` does not fit into the memory of the machine or of the cgroups. */
static bool is_short(struct state *s, const struct process *p, enum ccr_look_kind kind, pid_t pid,
		     uint64_t need, uint64_t available)
{
	char cgroup[512] = "", size1[32], size2[32];
	const uint64_t left =
		ccr_cgroups_room(&p->cgroups, s->root, &s->text, cgroup, sizeof(cgroup));

	if (need <= available && need <= left)
		return false;
	ccr__look_size(size1, sizeof(size1), need);
	if (left < available)
		ccr__look_add(s, kind, pid,
			      "%s, and the memory limit of the cgroup %.80s leaves %s", size1,
			      cgroup, ccr__look_size(size2, sizeof(size2), left));
	else
		ccr__look_add(s, kind, pid, "%s, and %s are available", size1,
			      ccr__look_size(size2, sizeof(size2), available));
	return true;
}

/* While the driver's copy is there, it is written to the images: once more if they are in memory.
 */
static void judge_host_memory(struct state *s, uint64_t copied, uint64_t available)
{
	const uint64_t written = is_in_memory(s->request->images_dir) ? copied : 0;

	each_process(p, s)
	{
		const uint64_t all = copied + written;
		const uint64_t need = all > available ? all : copied_in_cgroup(s, p);

		if (copied_of(s, p) &&
		    is_short(s, p, CCR_LOOK_HOST_MEMORY, p->pid, need, available))
			return;
	}
}

/* Whether an earlier checkpoint may have device memory that is not written again. */
static bool may_share(const struct state *s)
{
	const char *earlier = s->request->settings->prev_images_dir;
	struct stat one, other;

	return *earlier && !stat(earlier, &one) && !fstat(s->request->images_dir, &other) &&
	       one.st_dev == other.st_dev;
}

/*
 * What is written: the memory of the processes that no file backs, and all device memory. How much
 * of that an earlier checkpoint has is not known before the dump.
 */
static void judge_store(struct state *s, uint64_t copied, uint64_t available)
{
	uint64_t need = may_share(s) ? 0 : s->look->device_bytes, room;
	char size1[32], size2[32];
	struct statfs fs;

	if (s->request->images_dir < 0 || fstatfs(s->request->images_dir, &fs))
		return;
	each_process(p, s) need += p->anonymous;
	/* A tmpfs without a limit reports no blocks. */
	room = fs.f_blocks ? (uint64_t)fs.f_bavail * fs.f_bsize : UINT64_MAX;
	/* A tmpfs takes its space from the memory into which the driver copies. */
	if (is_in_memory(s->request->images_dir) && available != UINT64_MAX) {
		const uint64_t rest = available > copied ? available - copied : 0;

		room = room < rest ? room : rest;
	}
	if (need > room)
		ccr__look_add(s, CCR_LOOK_STORE_SPACE, s->request->pid,
			      "about %s, and there are %s",
			      ccr__look_size(size1, sizeof(size1), need),
			      ccr__look_size(size2, sizeof(size2), room));
}

void ccr__look_judge_room(struct state *s)
{
	const uint64_t available = ccr_memory_available(s->root, &s->text);
	uint64_t copied = 0;

	each_process(p, s) copied += copied_of(s, p);
	judge_host_memory(s, copied, available);
	judge_store(s, copied, available);
}

static bool is_host_memory(const char *name)
{
	const char *ends = strrchr(name, '.');

	return ends && !strcmp(ends, ".img") &&
	       (!strncmp(name, "pages-", strlen("pages-")) ||
		!strncmp(name, "cuda-pages-", strlen("cuda-pages-")));
}

/* The bytes that the files of host memory really have; holes are never filled. */
static uint64_t bytes_of_images(int images_dir)
{
	DIR *dir = ccr__dir_open(images_dir, ".");
	struct dirent *entry;
	uint64_t sum = 0;

	if (!dir)
		return 0;
	while ((entry = readdir(dir))) {
		struct stat st;

		if (is_host_memory(entry->d_name) && !fstatat(dirfd(dir), entry->d_name, &st, 0))
			sum += (uint64_t)st.st_blocks * 512;
	}
	closedir(dir);
	return sum;
}

void ccr__look_judge_images(struct state *s)
{
	const uint64_t need = bytes_of_images(s->request->images_dir);
	struct process criu = {.pid = getpid()};

	ccr_cgroups_of(&criu.cgroups, s->root, criu.pid, &s->text);
	is_short(s, &criu, CCR_LOOK_RESTORE_MEMORY, 0, need,
		 ccr_memory_available(s->root, &s->text));
}
