// SPDX-License-Identifier: GPL-2.0-only
#include "plugin/task/checkpoint_files.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "common/sync.h"
#include "image/index/index.h"
#include "image/pages/pages.h"
#include "plugin/watch/background.h"
#include "plugin/task/criu_abi.h"
#include "plugin/trace/proc_status.h"
#include "plugin/task/state.h"
#include "plugin/task/task.h"

/* The dump's index as far as it is written. */
static struct ccr_index written;
/* In memory that criu and its watcher share, so that the watcher knows it when criu is gone. */
static atomic_bool *is_complete;
/* The index of the checkpoint to restore; NULL: there is none, and all files belong to it. */
static struct ccr_index *to_restore;

static void ignore(const char *name)
{
	ccr_warn("%s is ignored: another dump to this directory left it", name);
}

static int choose_id(void)
{
	void *shared = ccr__background_memory(sizeof(*is_complete));

	if (!shared || getrandom(written.id, sizeof(written.id), 0) != sizeof(written.id)) {
		ccr_err("cannot choose an id for the checkpoint: %s", strerror(errno));
		return -EAGAIN;
	}
	is_complete = shared;
	return 0;
}

/* CRIU refuses a restore in which a name of its inventory is left. */
static int is_present(const char *name, void *unused)
{
	check_and_remove_inventory_plugin(name, strlen(name));
	return 0;
}

int ccr__files_begin(int stage)
{
	const int dirfd = criu_get_image_dir();
	char error[512];
	int ret;

	if (stage == STAGE_DUMP)
		return choose_id();
	ret = ccr_index_check(&to_restore, dirfd, ignore, error, sizeof(error));
	if (ret) {
		ccr_err("%s", error);
		return ret;
	}
	ret = ccr_image_for_each_name(dirfd, is_present, NULL);
	if (ret)
		ccr_err("cannot read the images directory: %s", strerror(-ret));
	return ret;
}

int ccr__files_require(const char *name)
{
	if (!add_inventory_plugin(name))
		return 0;
	ccr_err("cannot add %s to the inventory image; see the errors above", name);
	return -EIO;
}

/*
 * A process without its device memory waits behind its gate. So CRIU itself must
 * refuse a restore when the manifest is missing, or by a plugin that does not
 * know about it: earlier versions, and CRIU's own.
 */
static int require_gpu_image(pid_t image_pid)
{
	char name[CCR_IMAGE_NAME_MAX];

	ccr_image_manifest_name(name, image_pid);
	return ccr__files_require(name);
}

const uint8_t *ccr__files_id(void)
{
	return written.id;
}

static int write_index(void)
{
	const int dirfd = criu_get_image_dir();
	char error[512];
	const int ret =
		ccr_index_write(&written, dirfd, ccr_sync_wanted(ccr__plugin.settings.sync, dirfd),
				error, sizeof(error));

	if (ret)
		ccr_err("%s", error);
	return ret;
}

static bool has_host_memory(int dirfd, pid_t image_pid)
{
	struct ccr_pages *pages;
	char error[512];
	bool is_ours;

	if (ccr_pages_open(&pages, dirfd, image_pid, error, sizeof(error)))
		return false;
	is_ours = !memcmp(pages->checkpoint, written.id, sizeof(written.id));
	ccr_pages_close(pages);
	return is_ours;
}

int ccr__files_saved(pid_t pid)
{
	const struct task *task = ccr__task_find(pid);
	const int dirfd = criu_get_image_dir();
	struct ccr_index_member member = {.pid = ccr__namespace_pid(pid)};
	int ret;

	if (!ccr__plugin.tasks)
		return 0;
	if (member.pid < 0) {
		ccr_err("cannot read the pid of %d in its namespace: %s", pid,
			strerror(-member.pid));
		return member.pid;
	}
	member.has_gpu = task && (task->operation || task->storage);
	member.has_host = has_host_memory(dirfd, member.pid);
	/* Without files of ours, an index is only needed where others would be taken for them. */
	if (!member.has_gpu && !member.has_host && !written.nr_members &&
	    !ccr_index_is_needed(dirfd))
		return 0;
	ret = ccr_index_add(&written, &member);
	if (ret) {
		ccr_err("cannot list %d in the index: %s", pid, strerror(-ret));
		return ret;
	}
	ret = member.has_gpu ? require_gpu_image(member.pid) : 0;
	return ret ? ret : write_index();
}

/* CRIU itself must refuse a restore without the index, or by a plugin that does not know it. */
int ccr__files_add_device_file(const struct ccr_device_file *file)
{
	struct plugin *p = &ccr__plugin;
	int ret = ccr_index_add_device_file(&written, file);

	if (ret) {
		ccr_err("cannot list %s in the index: %s", file->path, strerror(-ret));
		return ret;
	}
	if (!p->in_inventory)
		ret = ccr__files_require(PLUGIN_NAME);
	p->in_inventory |= !ret;
	if (!ret && written.nr_device_files == 1)
		ret = ccr__files_require(CCR_INDEX_NAME);
	return ret ? ret : write_index();
}

void ccr__files_complete(void)
{
	if (is_complete)
		atomic_store(is_complete, true);
}

void ccr__files_remove(void)
{
	if (is_complete && !atomic_load(is_complete))
		ccr_index_remove_checkpoint(criu_get_image_dir(), written.id);
}

/* What the index says about the process. Without an index, what the directory has. */
static struct ccr_index_member member_of(pid_t image_pid)
{
	struct ccr_index_member member = {.pid = image_pid};
	const struct ccr_index_member *listed;
	const int dirfd = criu_get_image_dir();
	char name[CCR_IMAGE_NAME_MAX];

	if (to_restore) {
		listed = ccr_index_find(to_restore, image_pid);
		return listed ? *listed : member;
	}
	ccr_image_manifest_name(name, image_pid);
	member.has_gpu = !faccessat(dirfd, name, F_OK, 0);
	snprintf(name, sizeof(name), "cuda-host-%d.img", image_pid);
	member.has_host = !faccessat(dirfd, name, F_OK, 0);
	return member;
}

bool ccr__files_have_gpu(pid_t image_pid)
{
	const struct ccr_index_member member = member_of(image_pid);

	return member.has_gpu && !member.is_driver;
}

bool ccr__files_have_host(pid_t image_pid)
{
	return member_of(image_pid).has_host;
}

bool ccr__files_have_driver(pid_t image_pid)
{
	return member_of(image_pid).is_driver;
}

static int count_gpu_image(const char *name, void *nr)
{
	*(size_t *)nr += ccr_image_pid_of_name(name) != 0;
	return 0;
}

static size_t nr_listed(bool is_driver)
{
	size_t nr = 0;

	for (size_t i = 0; to_restore && i < to_restore->nr_members; i++)
		nr += to_restore->members[i].has_gpu &&
		      to_restore->members[i].is_driver == is_driver;
	return nr;
}

size_t ccr__files_nr_gpu_images(void)
{
	size_t nr = nr_listed(false);

	if (!to_restore)
		ccr_image_for_each_name(criu_get_image_dir(), count_gpu_image, &nr);
	return nr;
}

/* Versions that wrote no index did not have them. */
size_t ccr__files_nr_driver_images(void)
{
	return nr_listed(true);
}

const struct ccr_index *ccr__files_index(void)
{
	return to_restore;
}
