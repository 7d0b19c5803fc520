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

/* Whether a dump has finished there that has something to load. */
static bool has_device_memory(const char *images_dir)
{
	DIR *dir = opendir(images_dir);
	bool is_complete = false, has_manifest = false;

	for (struct dirent *entry; dir && (entry = readdir(dir));) {
		is_complete |= !strcmp(entry->d_name, "inventory.img");
		has_manifest |= is_manifest(entry->d_name);
	}
	if (dir)
		closedir(dir);
	return is_complete && has_manifest;
}

static bool has_interceptor(pid_t pid)
{
	static const char name[] = "LD_PRELOAD=";
	char path[32], *variable = NULL;
	size_t size = 0, read = 0;
	bool found = false;
	ssize_t length;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/environ", pid);
	file = fopen(path, "re");
	while (file && !found && read < MOST_OF_ENVIRONMENT &&
	       (length = getdelim(&variable, &size, '\0', file)) > 0) {
		read += length;
		found = !strncmp(variable, name, strlen(name)) &&
			strstr(variable, "libcuda_intercept");
	}
	free(variable);
	if (file)
		fclose(file);
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
	if (getenv("CRIU_LIBS_DIR"))
		return false;
	for (size_t i = 0; !getenv("CRIU_CUDA_BUILD_DIR") && i < sizeof(dirs) / sizeof(*dirs); i++)
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
	       (typed->is_restore ? has_device_memory(typed->images_dir)
				  : has_interceptor(typed->pid));
}
