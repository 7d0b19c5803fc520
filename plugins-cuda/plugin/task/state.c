// SPDX-License-Identifier: GPL-2.0-only
#include "plugin/task/state.h"

#include <dlfcn.h>
#include <time.h>

struct plugin ccr__plugin = {.watcher_fd = -1, .preinit_fd = -1, .status = {.fd = -1}};

const char *ccr__plugin_path(void)
{
	Dl_info info;

	return dladdr(&ccr__plugin, &info) && info.dli_fname ? info.dli_fname : "";
}

double ccr__now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1e3 + now.tv_nsec / 1e6;
}
