// SPDX-License-Identifier: MIT
#include "common/status_history.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* A caller that reads its file has this long after the last line, or a minute if there are many. */
#define KEEP_SECONDS  3600
#define KEEP_AT_LEAST 60
#define KEEP_FILES    16
/* The library has the same number. */
#define HISTORY_FILES 64

struct file {
	char name[64];
	struct timespec modified;
	off_t bytes;
};

struct files {
	struct file *list;
	size_t nr;
};

static bool is_status_file(const char *name)
{
	unsigned long namespace, seconds;
	int pid, end = 0;

	if (sscanf(name, "op-%d-%lu.jsonl%n", &pid, &namespace, &end) == 2 && end && !name[end])
		return true;
	return sscanf(name, "op-%d-%lu-%lu.jsonl%n", &pid, &namespace, &seconds, &end) == 3 &&
	       end && !name[end];
}

static int newest_first(const void *a, const void *b)
{
	const struct file *x = a, *y = b;

	if (x->modified.tv_sec != y->modified.tv_sec)
		return x->modified.tv_sec < y->modified.tv_sec ? 1 : -1;
	return x->modified.tv_nsec < y->modified.tv_nsec ? 1 : -1;
}

static void list_files(int dir_fd, struct files *files)
{
	const int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (!dir)
		return;
	while ((entry = readdir(dir))) {
		struct file *longer;
		struct stat st;

		if (strlen(entry->d_name) >= sizeof(longer->name) ||
		    !is_status_file(entry->d_name) ||
		    fstatat(dir_fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW))
			continue;
		longer = realloc(files->list, (files->nr + 1) * sizeof(*longer));
		if (!longer)
			break;
		files->list = longer;
		longer += files->nr++;
		snprintf(longer->name, sizeof(longer->name), "%s", entry->d_name);
		longer->modified = st.st_mtim;
		longer->bytes = st.st_size;
	}
	closedir(dir);
	if (files->nr)
		qsort(files->list, files->nr, sizeof(*files->list), newest_first);
}

/* A file is locked while criu, its watcher or the pool may add to it. */
static bool is_in_use(int fd)
{
	return flock(fd, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK;
}

/* Moves the file without the space that was reserved for it. */
static void move(int dir_fd, int history, const struct file *file)
{
	const int fd = openat(dir_fd, file->name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	const struct timespec times[2] = {file->modified, file->modified};
	char name[128];

	if (fd < 0)
		return;
	if (!is_in_use(fd)) {
		snprintf(name, sizeof(name), "%.*s-%lld.jsonl",
			 (int)(strlen(file->name) - strlen(".jsonl")), file->name,
			 (long long)file->modified.tv_sec);
		if (renameat(dir_fd, file->name, history, name))
			unlinkat(dir_fd, file->name, 0);
		else if (!ftruncate(fd, file->bytes))
			futimens(fd, times);
	}
	close(fd);
}

static void move_old(int dir_fd, int history)
{
	struct files files = {0};
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	list_files(dir_fd, &files);
	for (size_t i = 0; i < files.nr; i++) {
		const time_t age = now.tv_sec - files.list[i].modified.tv_sec;

		if (age > KEEP_SECONDS || (i >= KEEP_FILES && age > KEEP_AT_LEAST))
			move(dir_fd, history, &files.list[i]);
	}
	free(files.list);
}

void ccr_status_tidy(int run_dir_fd)
{
	struct files files = {0};
	int history;

	mkdirat(run_dir_fd, CCR_STATUS_HISTORY, 0700);
	history = openat(run_dir_fd, CCR_STATUS_HISTORY,
			 O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (history < 0)
		return;
	move_old(run_dir_fd, history);
	list_files(history, &files);
	for (size_t i = HISTORY_FILES; i < files.nr; i++)
		unlinkat(history, files.list[i].name, 0);
	free(files.list);
	close(history);
}
