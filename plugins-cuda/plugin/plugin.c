// SPDX-License-Identifier: GPL-2.0-only
/* The plugin as CRIU sees it: the descriptor, the stages, and the hooks with their timing. */
#include "plugin/task/task.h"
#include "plugin/task/driver_call.h"
#include "plugin/task/checkpoint_files.h"
#include "plugin/trace/preinit.h"
#include "plugin/trace/proc_status.h"
#include "plugin/task/report.h"
#include "plugin/trace/stuck.h"
#include "plugin/watch/watcher_link.h"
#include "plugin/plugin.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/run_dir.h"
#include "plugin/host/host.h"
#include "plugin/device/device.h"

#define NVIDIA_GPUS_DIR		"/proc/driver/nvidia/gpus"
#define FAULT_CUDA_FORCE_ENABLE "138" /* CRIU's own fault number for tests without a device */

#define MAX_FIRST_FILE (1u << 20)

/* `criu-cuda inspect` reads it from the file. */
extern const char ccr_plugin_info[];
__attribute__((visibility("default"), used)) const char ccr_plugin_info[] =
	"ccr-plugin: version=" CCR_VERSION " variant=" CCR_VARIANT;

static char first_error[512];
static pid_t first_ended; /* the process because of which a dump fails */

static void to_criu_log(enum ccr_log_level level, const char *line)
{
	if (level == CCR_LOG_ERROR && !*first_error)
		snprintf(first_error, sizeof(first_error), "%s", line);
	/* CRIU's own marker of an error, for anyone who greps its logs. */
	print_on_level(level, "%s" PLUGIN_NAME ": %s\n",
		       level == CCR_LOG_ERROR ? "Error (" PLUGIN_NAME "): " : "", line);
}

static bool device_expected(void)
{
	const char *fault = getenv("CRIU_FAULT");
	struct stat st;

	if (ccr__plugin.settings.driver[0] || (fault && !strcmp(fault, FAULT_CUDA_FORCE_ENABLE)))
		return true;
	return !stat(NVIDIA_GPUS_DIR, &st) && S_ISDIR(st.st_mode);
}

/* Sets `enabled`. Returns 0, or -errno: the error must stop this run. */
static int enable(int stage)
{
	struct plugin *p = &ccr__plugin;
	char error[512];
	int ret;

	if (stage == STAGE_DUMP && !device_expected()) {
		ccr_info("disabled: no GPU on this machine");
		return 0;
	}
	ret = ccr_driver_open(&p->driver, p->settings.driver, error, sizeof(error));
	if (!ret) {
		p->enabled = true;
		return 0;
	}
	/* A restore without the driver would run the application without its GPU. */
	if (stage == STAGE_RESTORE || p->settings.driver[0]) {
		ccr_err("%s", error);
		return ret;
	}
	ccr_warn("disabled: %s", error);
	return 0;
}

/* Another user could forge what is in it. Nothing has been done to any process yet. */
static int check_run_dir(void)
{
	const char *path = ccr__plugin.settings.run_dir;
	char why[256];
	const int fd = ccr_run_dir_open(path, why, sizeof(why));

	if (fd >= 0)
		close(fd);
	if (fd != -EPERM)
		return 0;
	ccr_err("the run directory %s is refused: %s", path, why);
	return fd;
}

/* The truth, whatever has failed because of it; what we kill ourselves has a reason of its own. */
static void note_ended(pid_t pid)
{
	const char *why = first_ended ? NULL : ccr__why_ended(pid);

	if (!why)
		return;
	first_ended = pid;
	ccr_err("cannot dump %d: %s", pid, why);
	snprintf(first_error, sizeof(first_error), "cannot dump %d: %s", pid, why);
}

static int load_begin(void)
{
	int ret = ccr__look_before_restore();

	if (!ret)
		ret = ccr__device_files_check();
	if (!ret)
		ret = ccr__host_memory_load_begin();
	if (!ret)
		ret = ccr__memory_load_begin();
	if (!ret && !ccr__memory_has_pool()) /* a pool keeps the GPU initialized itself */
		ccr__preinit_start();
	return ret;
}

/*
 * CRIU links a deleted file that has other names as link_remap.NUMBER beside them until its
 * restore, and fails where that exists: two programs with such files in one directory, /dev/shm for
 * example, could not be dumped at the same time. The number is that of the file, so each dump
 * begins to count at another one. To count that far takes a millisecond or two.
 */
static void begin_count_of_files(void)
{
	uint32_t left, id;

	if (!fd_id_generate_special || getrandom(&left, sizeof(left), 0) != sizeof(left))
		return;
	for (left %= MAX_FIRST_FILE; left; left--)
		fd_id_generate_special(NULL, &id);
}

static int init(int stage)
{
	struct plugin *p = &ccr__plugin;
	char error[512];
	int ret;

	ccr_log_set_sink(to_criu_log);
	p->watcher = &ccr__watcher_ops;
	p->stage = stage;
	if (stage == STAGE_PRE_DUMP) /* device memory cannot be tracked while it changes */
		return 0;
	if (stage == STAGE_DUMP)
		begin_count_of_files();
	if (stage == STAGE_RESTORE &&
	    !check_and_remove_inventory_plugin(PLUGIN_NAME, strlen(PLUGIN_NAME)))
		return 0;
	ret = ccr_settings_load(&p->settings, NULL, error, sizeof(error));
	if (!ret)
		ret = ccr_device_map_parse(&p->device_map, "CRIU_CUDA_DEVICE_MAP",
					   p->settings.device_map, error, sizeof(error));
	if (ret) {
		p->settings.run_dir[0] = '\0'; /* it may be another one than the user has named */
		ccr_err("%s", error);
		return ret;
	}
	if (stage != STAGE_RESTORE) /* a rollback stays on the same devices */
		p->device_map.count = 0;
	ret = enable(stage);
	if (ret || !p->enabled)
		return ret;
	ret = check_run_dir();
	if (ret)
		return ret;
	/* What happens when in CRIU's log can then be compared with other processes. */
	ccr_info("monotonic clock: %.3f ms", ccr__now_ms());
	ccr_info("version %s, variant %s, driver %s (API %d)", CCR_VERSION, CCR_VARIANT,
		 p->driver.path, p->driver.version);
	/* A dump looks for it when it finds the first CUDA process. */
	if (stage == STAGE_RESTORE)
		ret = ccr_status_probe(p->settings.run_dir);
	if (!ret)
		ret = ccr__files_begin(stage);
	if (ret)
		return ret;
	if (set_compel_interrupt_only_mode)
		set_compel_interrupt_only_mode();
	if (stage == STAGE_RESTORE)
		ret = load_begin();
	if (!ret)
		ret = ccr__watcher_start(stage);
	if (!ret && stage == STAGE_DUMP) /* at a restore, criu is busy anyway when it is needed */
		ret = ccr__driver_call_start();
	return ret;
}

static struct {
	double start, end;
} init_time;

static int plugin_init(int stage)
{
	int ret;

	init_time.start = ccr__now_ms();
	ret = init(stage);
	init_time.end = ccr__now_ms();

	if (ret)
		ccr__report_failure(stage, first_error);
	return ret;
}

/* Of a program that has used NVML alone, for example. */
static bool has_device_files(void)
{
	const struct ccr_index *index = ccr__files_index();

	return index && index->nr_device_files;
}

static void plugin_exit(int stage, int ret)
{
	struct plugin *p = &ccr__plugin;
	const double start = ccr__now_ms();

	if (!p->enabled)
		return;
	ccr__stuck_in_plugin(true);
	for (const struct task *t = p->tasks; stage == STAGE_DUMP && ret && t; t = t->next)
		note_ended(t->pid);
	if (stage == STAGE_DUMP && !ret)
		ccr__files_complete();
	if (stage == STAGE_DUMP) {
		ccr__dump_finish(ret);
		ccr__watcher_start_second();
	} else if (!p->tasks && !ret && !has_device_files()) {
		ccr_warn("the images need %s, but no restored process uses CUDA", PLUGIN_NAME);
	}
	if (stage == STAGE_RESTORE && !p->restore_failed && !ret)
		ccr__watcher_release();
	p->hook_ms += ccr__now_ms() - start;
	ccr_status_span(&p->status, getpid(), "hook", "init", init_time.start, init_time.end);
	ccr_status_span(&p->status, getpid(), "hook", "fini", start, ccr__now_ms());
	if (ret && p->has_begun)
		ccr__report_failure(stage, first_error);
	ccr_status_add(&p->status,
		       "{\"event\":\"end\",\"stage\":\"%s\",\"ret\":%d,\"driver_ms\":%.3f,\"hook_"
		       "ms\":%.3f}",
		       ccr__stage_name(stage), p->restore_failed ? -EIO : ret, p->driver_ms,
		       p->hook_ms);
	ccr_info("hooks took %.1f ms (%.1f ms in the driver)", p->hook_ms, p->driver_ms);
	ccr_status_close(&p->status);
	ccr__task_free_all();
	ccr__stuck_in_plugin(false);
}

/* A tree may have many processes for which there is nothing to do. */
#define SHORT_MS 1

static int timed(int (*hook)(int pid), const char *name, int pid)
{
	struct plugin *p = &ccr__plugin;
	const double start = ccr__now_ms();
	double end;
	int ret;

	if (!p->enabled)
		return -ENOTSUP;
	ccr__stuck_in_plugin(true);
	ret = hook(pid);
	if (ret && ret != -ENOTSUP && p->stage == STAGE_DUMP)
		note_ended(pid);
	ccr__stuck_in_plugin(false);
	end = ccr__now_ms();
	p->hook_ms += end - start;
	if (ret != -ENOTSUP || end - start >= SHORT_MS)
		ccr_status_span(&p->status, pid, "hook", name, start, end);
	return ret;
}

static int pause_devices(int pid)
{
	return timed(ccr__pause_devices, "PAUSE_DEVICES", pid);
}

/* CRIU calls it for every process of the tree, and ours may have saved host memory of any. */
static int checkpoint_and_list(int pid)
{
	int ret, listed;

	ccr__stuck_add(pid); /* all are stopped by now */
	ret = ccr__checkpoint_devices(pid);
	listed = ret && ret != -ENOTSUP ? 0 : ccr__files_saved(pid);
	return listed ? listed : ret;
}

static int checkpoint_devices(int pid)
{
	return timed(checkpoint_and_list, "CHECKPOINT_DEVICES", pid);
}

static int dump_ext_file(int fd, int id)
{
	return ccr__plugin.enabled ? ccr__dump_device_file(fd, id) : -ENOTSUP;
}

/* In the restored process, a fork of criu: nothing that criu does afterwards sees a change here. */
static int restore_ext_file(int id, bool *retry_needed)
{
	return ccr__plugin.enabled ? ccr__restore_device_file(id, retry_needed) : -ENOTSUP;
}

static int handle_device_vma(int fd, const struct stat *st)
{
	return ccr__plugin.enabled ? ccr__dump_device_mapping(fd, st) : -ENOTSUP;
}

/* Also in the restored process. */
static int update_vma_map(const char *path, uint64_t address, uint64_t offset, uint64_t *new_offset,
			  int *fd)
{
	return ccr__plugin.enabled ? ccr__restore_device_mapping(path, address, new_offset, fd)
				   : -ENOTSUP;
}

static int resume_devices_late(int pid)
{
	return timed(ccr__resume_devices_late, "RESUME_DEVICES_LATE", pid);
}

__attribute__((visibility("default"))) struct criu_plugin CR_PLUGIN_DESC = {
	.name = PLUGIN_NAME,
	.init = plugin_init,
	.exit = plugin_exit,
	.version = CRIU_PLUGIN_VERSION_0_2,
	.max_hooks = NR_HOOKS,
	.hooks =
		{
			[HOOK_DUMP_UNIX_SK] = ccr__dump_outside_socket,
			[HOOK_RESTORE_UNIX_SK] = ccr__restore_outside_socket,
			[HOOK_DUMP_EXT_FILE] = dump_ext_file,
			[HOOK_RESTORE_EXT_FILE] = restore_ext_file,
			[HOOK_HANDLE_DEVICE_VMA] = handle_device_vma,
			[HOOK_UPDATE_VMA_MAP] = update_vma_map,
			[HOOK_PAUSE_DEVICES] = pause_devices,
			[HOOK_CHECKPOINT_DEVICES] = checkpoint_devices,
			[HOOK_RESUME_DEVICES_LATE] = resume_devices_late,
		},
};
