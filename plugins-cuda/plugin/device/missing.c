// SPDX-License-Identifier: GPL-2.0-only
#include "plugin/device/missing.h"
#include "plugin/device/device.h"

#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/protocol/mailbox.h"
#include "plugin/task/state.h"

/* Builds with a name of their own, `libcuda_intercept-BUILD.so`, included. */
#define LIBRARY "libcuda_intercept"
/* An environment may be larger; what is behind is not looked at. */
#define ENVIRONMENT_MAX (256u << 10)

/* The path of the interceptor in the LD_PRELOAD with which the process was started. */
static bool find_preload(pid_t pid, char *out, size_t size)
{
	char *const text = calloc(1, ENVIRONMENT_MAX + 1), *found = NULL;
	char path[64];
	ssize_t len = 0, got;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/environ", pid);
	fd = text ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	while (fd >= 0 && len < ENVIRONMENT_MAX &&
	       (got = read(fd, text + len, ENVIRONMENT_MAX - len)) > 0)
		len += got;
	if (fd >= 0)
		close(fd);
	for (char *at = text; at && at < text + len && !found; at += strlen(at) + 1)
		if (!strncmp(at, "LD_PRELOAD=", strlen("LD_PRELOAD=")))
			found = at + strlen("LD_PRELOAD=");
	for (char *one = found ? strtok(found, ": ") : NULL; one; one = strtok(NULL, ": ")) {
		const char *name = strrchr(one, '/');

		if (strncmp(name ? name + 1 : one, LIBRARY, strlen(LIBRARY)))
			continue;
		snprintf(out, size, "%s", one);
		free(text);
		return true;
	}
	free(text);
	return false;
}

/* Whether the path of one of its mappings has this text. */
static bool maps(pid_t pid, const char *text)
{
	char path[32], *line = NULL;
	bool found = false;
	size_t size = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	file = fopen(path, "re");
	while (file && !found && getline(&line, &size, file) > 0)
		found = strstr(line, text);
	free(line);
	if (file)
		fclose(file);
	return found;
}

const char *ccr__why_no_interceptor(pid_t pid)
{
	char library[PATH_MAX], seen[PATH_MAX + 32];

	/* The driver also takes a process that uses NVML alone for one of CUDA. */
	if (maps(pid, LIBRARY))
		return maps(pid, CCR_MAILBOX_NAME)
			       ? "its interceptor's service thread did not start"
			       : "it has not called cuInit";
	if (!maps(pid, "/libcuda.so"))
		return "it has not loaded libcuda";
	if (!find_preload(pid, library, sizeof(library))) {
		if (!ccr__storage_is_used())
			ccr_warn("%d: its device memory goes through the driver, which takes "
				 "longer, because the process has no interceptor: start it with "
				 "criu-cuda run, or, in a container, with what criu-cuda cdi "
				 "generate prints",
				 pid);
		return "it has no interceptor";
	}
	snprintf(seen, sizeof(seen), "/proc/%d/root%s", pid, library);
	if (*library == '/' && access(seen, R_OK)) {
		ccr_warn("%d: its device memory goes through the driver, because LD_PRELOAD names "
			 "%s, which is not visible inside its container: add -v %.*s:%.*s:ro",
			 pid, library, (int)(strrchr(library, '/') - library), library,
			 (int)(strrchr(library, '/') - library), library);
		return "LD_PRELOAD names an interceptor that is not visible inside its container";
	}
	ccr_warn("%d: its device memory goes through the driver, although LD_PRELOAD names %s: "
		 "the program has not loaded it",
		 pid, library);
	return "it has not loaded the interceptor that LD_PRELOAD names";
}
