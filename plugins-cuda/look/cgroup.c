// SPDX-License-Identifier: MIT
/* The cgroups of a process, version 2 and version 1: is it frozen, and how much memory do its
 * limits leave? */
#include "look/process.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MOUNT	"sys/fs/cgroup"
#define UNIFIED "sys/fs/cgroup/unified" /* where version 2 is next to version 1 */
#define MEMORY	"sys/fs/cgroup/memory"
#define FREEZER "sys/fs/cgroup/freezer"
/* Version 1 has no word for "unlimited", but a number of this size. */
#define NO_LIMIT (1ull << 60)

static bool has_word(const char *list, const char *word)
{
	const size_t length = strlen(word);

	for (const char *p = list; *p;) {
		const size_t n = strcspn(p, ",");

		if (n == length && !strncmp(p, word, n))
			return true;
		p += n + (p[n] == ',');
	}
	return false;
}

/* "ID:CONTROLLERS:PATH"; version 2 has the ID 0 and no controllers. */
static void note_line(struct process *process, char *line)
{
	char *controllers = strchr(line, ':'), *path;

	path = controllers ? strchr(controllers + 1, ':') : NULL;
	if (!path || !strncmp(path + 1, "/..", 3)) /* outside our cgroup namespace */
		return;
	*controllers++ = *path++ = '\0';
	if (!*controllers)
		snprintf(process->unified, sizeof(process->unified), "%s", path);
	if (has_word(controllers, "memory"))
		snprintf(process->memory, sizeof(process->memory), "%s", path);
	if (has_word(controllers, "freezer"))
		snprintf(process->freezer, sizeof(process->freezer), "%s", path);
}

void ccr__look_cgroups(struct process *process, int root, struct text *text)
{
	char *rest, *line;

	if (ccr__text_read(text, root, "proc/%d/cgroup", process->pid))
		return;
	rest = text->data;
	while ((line = ccr__text_line(&rest)))
		note_line(process, line);
}

static const char *unified_mount(int root)
{
	return faccessat(root, MOUNT "/cgroup.controllers", F_OK, 0) ? UNIFIED : MOUNT;
}

bool ccr__look_is_frozen(const struct process *process, int root, struct text *text)
{
	if (*process->unified &&
	    !ccr__text_read(text, root, "%s%s/cgroup.events", unified_mount(root),
			    process->unified) &&
	    ccr__text_number(text, "frozen", 0))
		return true;
	return *process->freezer &&
	       !ccr__text_read(text, root, FREEZER "%s/freezer.state", process->freezer) &&
	       strncmp(text->data, "THAWED", strlen("THAWED")) != 0;
}

struct files {
	const char *limit, *usage, *inactive, *active;
};

static const struct files version2 = {"memory.max", "memory.current", "inactive_file",
				      "active_file"};
static const struct files version1 = {"memory.limit_in_bytes", "memory.usage_in_bytes",
				      "total_inactive_file", "total_active_file"};

/* UINT64_MAX without a limit */
static uint64_t left_in(const char *path, const char *mount, const struct files *files, int root,
			struct text *text)
{
	uint64_t limit, used, cache;

	/* "max" is not a number */
	if (ccr__text_read(text, root, "%s%s/%s", mount, path, files->limit))
		return UINT64_MAX;
	limit = ccr__text_number(text, "", UINT64_MAX);
	if (limit >= NO_LIMIT || ccr__text_read(text, root, "%s%s/%s", mount, path, files->usage))
		return UINT64_MAX;
	used = ccr__text_number(text, "", 0);
	ccr__text_read(text, root, "%s%s/memory.stat", mount, path);
	cache = ccr__text_number(text, files->inactive, 0) +
		ccr__text_number(text, files->active, 0);
	used = used > cache ? used - cache : 0;
	return limit > used ? limit - used : 0;
}

uint64_t ccr__look_cgroup_memory(const struct process *process, int root, struct text *text,
				 const char **where, char *path, size_t size)
{
	const bool is_unified = !*process->memory;
	const char *mount = is_unified ? unified_mount(root) : MEMORY;
	char current[sizeof(process->memory)];
	uint64_t least = UINT64_MAX;

	*where = NULL;
	snprintf(current, sizeof(current), "%s", is_unified ? process->unified : process->memory);
	while (*current) {
		const uint64_t left =
			left_in(current, mount, is_unified ? &version2 : &version1, root, text);
		char *slash = strrchr(current, '/');

		if (left < least) {
			least = left;
			snprintf(path, size, "%s", current);
			*where = path;
		}
		if (!slash)
			break;
		*slash = '\0'; /* the root cgroup has no limit */
	}
	return least;
}
