// SPDX-License-Identifier: GPL-2.0-only
#include "plugin/task/report.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/syslog.h"
#include "plugin/trace/proc_status.h"
#include "plugin/task/state.h"
#include "plugin/watch/watcher_link.h"

/* Quoted, twice as long at most; a status line has room for both. */
#define TEXT_MAX 1024

static bool is_told;

/* Reads the beginning of a file of /proc as one line. */
static void read_text(pid_t pid, const char *name, char separator, char *out, size_t size)
{
	char path[64];
	ssize_t len;
	int fd;

	*out = '\0';
	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	len = read(fd, out, size - 1);
	close(fd);
	if (len < 0)
		len = 0;
	while (len && (!out[len - 1] || out[len - 1] == '\n'))
		len--;
	out[len] = '\0';
	for (ssize_t i = 0; i < len; i++)
		if (!out[i] || out[i] == '\n')
			out[i] = separator;
}

static const char *images_dir(char *out, size_t size)
{
	char link[64];
	ssize_t len;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", criu_get_image_dir());
	len = readlink(link, out, size - 1);
	out[len > 0 ? len : 0] = '\0';
	return out;
}

void ccr__report_origin(void)
{
	char dir[TEXT_MAX], caller[TEXT_MAX], quoted_dir[2 * TEXT_MAX], quoted[2 * TEXT_MAX];
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	read_text(getppid(), "cmdline", ' ', caller, sizeof(caller));
	ccr_status_add(
		&ccr__plugin.status,
		"{\"event\":\"origin\",\"time\":%lld,\"images\":\"%s\",\"caller\":\"%s\"}",
		now.tv_sec * 1000ll + now.tv_nsec / 1000000,
		ccr_status_quoted(quoted_dir, sizeof(quoted_dir), images_dir(dir, sizeof(dir))),
		ccr_status_quoted(quoted, sizeof(quoted), caller));
}

void ccr__report_process(pid_t pid)
{
	char cgroup[TEXT_MAX], name[64] = "", quoted[2 * TEXT_MAX], quoted_name[128];

	read_text(pid, "cgroup", ' ', cgroup, sizeof(cgroup));
	ccr__proc_status(pid, "Name", name, sizeof(name));
	ccr_status_add(
		&ccr__plugin.status,
		"{\"event\":\"process\",\"pid\":%d,\"name\":\"%s\",\"cgroup\":\"%s\"}", pid,
		ccr_status_quoted(quoted_name, sizeof(quoted_name), name + strspn(name, "\t ")),
		ccr_status_quoted(quoted, sizeof(quoted), cgroup));
}

void ccr__report_task_failure(pid_t pid, const char *reason)
{
	is_told = true;
	ccr_syslog("%s of process %d failed: %s", ccr__stage_name(ccr__plugin.stage), pid, reason);
}

void ccr__report_failure(int stage, const char *reason)
{
	char dir[TEXT_MAX], quoted[2 * TEXT_MAX];

	/* Without settings there is no run directory. */
	if (*ccr__plugin.settings.run_dir && ccr__begin(stage))
		reason = *reason ? reason : "the plugin cannot write a status file";
	ccr_status_add(&ccr__plugin.status, "{\"event\":\"failure\",\"reason\":\"%s\"}",
		       ccr_status_quoted(quoted, sizeof(quoted), reason));
	if (!is_told)
		ccr_syslog("%s with %s failed: %s", ccr__stage_name(stage),
			   images_dir(dir, sizeof(dir)),
			   *reason ? reason : "CRIU has failed; its log says why");
	is_told = true;
}
