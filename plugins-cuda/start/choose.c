// SPDX-License-Identifier: MIT
#include "start/start.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/settings/settings.h"

#define HELPER "cuda-poold"
#define PLUGIN "cuda_plugin.so"

/* What of an environment is read: the process decides how much it has. Bytes. */
#define MOST_OF_ENVIRONMENT (6 << 20)

/* The helper and its threads, with a margin for what else is started meanwhile. */
#define HELPER_PIDS 128

static bool is_there(const char *path)
{
	return !access(path, F_OK);
}

/* cuda-PID.img: the manifest of device memory that the pool has saved. */
static bool is_manifest(const char *name)
{
	const size_t prefix = strlen("cuda-");
	size_t digits;

	if (strncmp(name, "cuda-", prefix))
		return false;
	digits = strspn(name + prefix, "0123456789");
	return digits && !strcmp(name + prefix + digits, ".img");
}

/* The thread of core-TID.img, 0 for other names. */
static long thread_of(const char *name)
{
	long tid = 0;
	int length = 0;

	return sscanf(name, "core-%ld.img%n", &tid, &length) == 1 && length && !name[length] ? tid
											     : 0;
}

/*
 * Whether a dump has finished there that has something to load, and whose threads do not need the
 * ids that the helper and its own threads will have.
 */
static bool can_load(const char *images_dir)
{
	const pid_t newest = getpid();
	bool is_complete = false, has_manifest = false, has_init = false, needs_ours = false;
	DIR *dir = opendir(images_dir);

	for (struct dirent *entry; dir && (entry = readdir(dir));) {
		const long tid = thread_of(entry->d_name);

		is_complete |= !strcmp(entry->d_name, "inventory.img");
		has_manifest |= is_manifest(entry->d_name);
		has_init |= tid == 1; /* of a pid namespace of its own */
		needs_ours |= tid > newest && tid <= newest + HELPER_PIDS;
	}
	if (dir)
		closedir(dir);
	return is_complete && has_manifest && (has_init || !needs_ours);
}

/* Node takes `..` for the directory that was typed before it, and the kernel for the parent. */
static bool has_parent(const char *path)
{
	for (const char *part = path; part; part = strchr(part, '/')) {
		part += strspn(part, "/");
		if (!strncmp(part, "..", 2) && (!part[2] || part[2] == '/'))
			return true;
	}
	return false;
}

static bool has_interceptor(pid_t pid)
{
	static const char name[] = "LD_PRELOAD=";
	char *const text = calloc(1, MOST_OF_ENVIRONMENT + 1);
	bool found = false;
	size_t length = 0;
	char path[32];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/environ", pid);
	file = fopen(path, "re");
	if (file && text)
		length = fread(text, 1, MOST_OF_ENVIRONMENT, file);
	for (const char *one = text; !found && one < text + length; one += strlen(one) + 1)
		found = !strncmp(one, name, strlen(name)) && strstr(one, "libcuda_intercept");
	if (file)
		fclose(file);
	free(text);
	return found;
}

/* Where there is no GPU, the images or the process tell which driver is used. */
static bool knows_driver(const struct ccr_settings *settings)
{
	return *settings->driver || is_there("/dev/nvidiactl") ||
	       is_there("/proc/driver/nvidia/version") || is_there("/dev/dxg");
}

static bool has_daemon(const struct ccr_settings *settings)
{
	char path[PATH_MAX + sizeof("/pool.sock")];

	snprintf(path, sizeof(path), "%s/pool.sock", settings->run_dir);
	return settings->context_pool && is_there(path);
}

static bool find_in(const char *dir, char program[PATH_MAX])
{
	char plugin[PATH_MAX];

	return snprintf(plugin, sizeof(plugin), "%s/" PLUGIN, dir) < (int)sizeof(plugin) &&
	       snprintf(program, PATH_MAX, "%s/" HELPER, dir) < PATH_MAX && is_there(plugin) &&
	       !access(program, X_OK);
}

/* In BUILD/lib/full, of our own BUILD/bin/criu-cuda-start. */
static bool find_built(char program[PATH_MAX])
{
	char dir[PATH_MAX] = "";
	const ssize_t length = readlink("/proc/self/exe", dir, sizeof(dir));
	char *slash;

	if (length <= 0 || length == sizeof(dir))
		return false;
	for (int i = 0; i < 2; i++) {
		slash = strrchr(dir, '/');
		if (!slash)
			return false;
		*slash = '\0';
	}
	if (strlen(dir) + sizeof("/lib/full") > sizeof(dir))
		return false;
	strcat(dir, "/lib/full");
	return find_in(dir, program);
}

/* Of the plugin that was typed, or that lib/criu/plugin-dir.ts most likely chooses. */
static bool find_program(const struct typed *typed, char program[PATH_MAX])
{
	static const char *const dirs[] = {"/usr/lib/criu", "/usr/local/lib/criu",
					   "/usr/lib64/criu"};

	if (typed->libdir)
		return find_in(typed->libdir, program);
	if (getenv("CRIU_LIBS_DIR") || getenv("CRIU_CUDA_BUILD_DIR"))
		return false;
	for (size_t i = 0; i < sizeof(dirs) / sizeof(*dirs); i++)
		if (find_in(dirs[i], program))
			return true;
	return find_built(program);
}

bool start_choose(const struct typed *typed, char program[PATH_MAX])
{
	static struct ccr_settings settings;
	char error[512];

	return !geteuid() && !ccr_settings_load(&settings, NULL, error, sizeof(error)) &&
	       knows_driver(&settings) && !has_daemon(&settings) && find_program(typed, program) &&
	       (typed->is_restore ? !has_parent(typed->images_dir) && can_load(typed->images_dir)
				  : has_interceptor(typed->pid));
}
