// SPDX-License-Identifier: MIT
/* One file per thread tells its name, its state and its tracer. */
#include "look/process.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/protocol/protocol.h"

#define NCCL_THREAD "NCCL " /* "NCCL Progress 0", "NCCL Service 0" */
#define TORCH_THREAD \
	"pt_nccl_" /* torch's process group on NCCL: pt_nccl_watchdg, pt_nccl_heartbt */

static void note_name(struct process *process, const char *name)
{
	if (!strcmp(name, CCR_SERVICE_COMM) || !strcmp(name, CCR_SERVICE_COMM_GATED))
		process->evidence |= SEEN_SERVICE_THREAD;
	if (!strncmp(name, NCCL_THREAD, strlen(NCCL_THREAD)) ||
	    !strncmp(name, TORCH_THREAD, strlen(TORCH_THREAD)))
		process->evidence |= SEEN_NCCL_THREAD;
}

static const char *value_of(const char *line, const char *field)
{
	const size_t length = strlen(field);

	return !strncmp(line, field, length) && line[length] == ':' ? line + length + 1 : NULL;
}

static void note_thread(struct process *process, pid_t tid, const struct text *text)
{
	const pid_t tracer = ccr__text_number(text, "TracerPid", 0);
	const char *state = strstr(text->data, "\nState:");
	const char *name = value_of(text->data, "Name");
	char comm[32] = "";

	if (name && sscanf(name, " %31[^\n]", comm) == 1)
		note_name(process, comm);
	state = state ? state + strlen("\nState:") + strspn(state + strlen("\nState:"), " \t") : "";
	if (*state == 'T')
		process->stopped_tid = tid;
	if (tracer && tracer != getpid()) {
		process->traced_tid = tid;
		process->tracer = tracer;
	}
	if (tid != process->pid)
		return;
	process->state = *state;
	process->address_space = ccr__text_number(text, "VmSize", 0) << 10;
	process->anonymous = ccr__text_number(text, "RssAnon", 0) << 10;
}

static void note_children(const struct text *text, struct list *children)
{
	char *end;

	for (const char *p = text->data;; p = end) {
		const long child = strtol(p, &end, 10);
		pid_t *pid;

		if (end == p)
			return;
		pid = ccr__list_add(children, sizeof(*pid));
		if (pid)
			*pid = child;
	}
}

void ccr__look_threads(struct process *process, int root, struct text *text, struct list *children)
{
	struct dirent *entry;
	char path[32];
	DIR *dir;

	snprintf(path, sizeof(path), "proc/%d/task", process->pid);
	dir = ccr__dir_open(root, path);
	if (!dir)
		return;
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.' ||
		    ccr__text_read(text, TEXT_ALL, dirfd(dir), "%s/status", entry->d_name))
			continue;
		process->nr_threads++;
		note_thread(process, strtol(entry->d_name, NULL, 10), text);
		if (!ccr__text_read(text, TEXT_ALL, dirfd(dir), "%s/children", entry->d_name))
			note_children(text, children);
	}
	closedir(dir);
}
