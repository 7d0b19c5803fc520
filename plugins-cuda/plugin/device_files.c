// SPDX-License-Identifier: GPL-2.0-only
/*
 * Open device files of the driver that no CUDA context of their process owns: a child that was
 * forked after the driver was initialized has those of its parent. The driver closes only its own
 * when it checkpoints a process, those of NVML among them; CRIU cannot dump the others.
 *
 * A restore opens the same devices again. What the driver kept for the earlier open file is gone:
 * in a forked child, CUDA has never worked, and fails as before.
 */
#include "plugin/plugin.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/device_file.h"
#include "plugin/task/checkpoint_files.h"
#include "plugin/task/task.h"

/* How open(2) was called. F_GETFL also has O_LARGEFILE, and O_ASYNC, which open ignores. */
static int flags_of(int fd, int *flags)
{
	*flags = fcntl(fd, F_GETFL);
	return *flags < 0 ? -errno : 0;
}

static int path_of(int fd, char *path, size_t size)
{
	char link[32];
	ssize_t length;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	length = readlink(link, path, size - 1);
	if (length < 0)
		return -errno;
	path[length] = '\0';
	return 0;
}

int ccr__dump_device_file(int fd, int id)
{
	struct ccr_device_file file = {.id = id};
	char path[PATH_MAX];
	struct stat st;
	off_t position;
	int ret;

	if (fstat(fd, &st) || path_of(fd, path, sizeof(path)) ||
	    !ccr_device_file_is_drivers(&st, path))
		return -ENOTSUP;
	if (!st.st_nlink || *path != '/') {
		ccr_err("the device file %s is open, but was removed, so a restore could not open "
			"it",
			path);
		return -ENOENT;
	}
	ret = flags_of(fd, &file.flags);
	if (ret) {
		ccr_err("cannot read how %s was opened: %s", path, strerror(-ret));
		return ret;
	}
	position = lseek(fd, 0, SEEK_CUR);
	file.position = position > 0 ? position : 0;
	file.has_gpu = ccr_device_file_gpu(&st, CCR_GPUS_DIR, file.gpu);
	file.path = path;
	ret = ccr__files_add_device_file(&file);
	if (!ret)
		ccr_info("open file %#x: %s is opened again at a restore", id, path);
	return ret;
}

/* The number N of /dev/nvidiaN for each open file, -ENOENT for others. Found at init: a restored
 * process may not see the driver's directory. */
static int *numbers;

static int find_numbers(const struct ccr_index *index)
{
	numbers = calloc(index->nr_device_files, sizeof(*numbers));
	if (!numbers)
		return -ENOMEM;
	for (size_t i = 0; i < index->nr_device_files; i++) {
		const struct ccr_device_file *file = &index->device_files[i];

		numbers[i] = -ENOENT;
		if (file->has_gpu)
			numbers[i] = ccr_device_file_number(
				CCR_GPUS_DIR,
				ccr_device_map_find(&ccr__plugin.device_map, file->gpu));
	}
	return 0;
}

/* Where the device is now: the GPU may have another number, or be another one. */
static void path_now(const struct ccr_index *index, const struct ccr_device_file *file, char *path,
		     size_t size)
{
	const int number = numbers ? numbers[file - index->device_files] : -ENOENT;
	const char *slash = strrchr(file->path, '/');

	if (number < 0)
		snprintf(path, size, "%s", file->path);
	else
		snprintf(path, size, "%.*s/nvidia%d", (int)(slash - file->path), file->path,
			 number);
}

static int check(const char *path)
{
	struct stat st;
	int ret = stat(path, &st) ? -errno : 0;

	if (!ret && !ccr_device_file_is_drivers(&st, path))
		ret = -ENODEV;
	if (ret == -ENODEV)
		ccr_err("%s is not a device of the GPU driver; a process of the checkpoint has it "
			"open",
			path);
	else if (ret)
		ccr_err("%s: %s; a process of the checkpoint has this device of the GPU driver "
			"open; "
			"load the driver, or give the container the device",
			path, strerror(-ret));
	return ret;
}

/* Whether CRIU has given RESTORE_EXT_FILE its second argument. */
static bool has_retry(void)
{
	const size_t pair = 2 * sizeof(void *);
	const ElfW(Sym) *symbol = NULL;
	Dl_info info;

	return cr_plugin_ctl && dladdr1(cr_plugin_ctl, &info, (void **)&symbol, RTLD_DL_SYMENT) &&
	       symbol && symbol->st_size / pair - 1 > NR_HOOKS_WITHOUT_RETRY;
}

int ccr__restore_device_file(int id, bool *retry_needed)
{
	const struct ccr_index *index = ccr__files_index();
	const struct ccr_device_file *file = index ? ccr_index_find_device_file(index, id) : NULL;
	char path[PATH_MAX];
	int fd, ret;

	if (has_retry())
		*retry_needed = false;
	if (!file)
		return -ENOTSUP;
	path_now(index, file, path, sizeof(path));
	ret = check(path);
	if (ret)
		return ret;
	fd = open(path, file->flags | O_NOCTTY);
	if (fd < 0) {
		ret = -errno;
		ccr_err("cannot open %s, which a process of the checkpoint has open: %s", path,
			strerror(errno));
		return ret;
	}
	if (file->position && lseek(fd, file->position, SEEK_SET) < 0) {
		ret = -errno;
		ccr_err("cannot restore the position in %s: %s", path, strerror(errno));
		close(fd);
		return ret;
	}
	ccr_info("open file %#x: %s is open again", id, path);
	return fd;
}

/* With a mount namespace in the images, paths are those of the container. */
static bool has_mount_namespace(void)
{
	const int fd = openat(criu_get_image_dir(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	bool found = false;

	if (!dir) {
		if (fd >= 0)
			close(fd);
		return false;
	}
	while (!found && (entry = readdir(dir)))
		found = !strncmp(entry->d_name, "mountpoints-", strlen("mountpoints-"));
	closedir(dir);
	return found;
}

int ccr__device_files_check(void)
{
	const struct ccr_index *index = ccr__files_index();
	char path[PATH_MAX];
	int ret = 0;

	if (!index || !index->nr_device_files)
		return 0;
	ret = find_numbers(index);
	if (ret || has_mount_namespace())
		return ret;
	for (size_t i = 0; i < index->nr_device_files && !ret; i++) {
		path_now(index, &index->device_files[i], path, sizeof(path));
		ret = check(path);
	}
	return ret;
}
