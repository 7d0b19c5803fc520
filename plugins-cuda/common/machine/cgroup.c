// SPDX-License-Identifier: MIT
#include "common/machine/cgroup.h"

#include <stdio.h>
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
static void note_line(struct ccr_cgroups *cgroups, char *line)
{
	char *controllers = strchr(line, ':'), *path;

	path = controllers ? strchr(controllers + 1, ':') : NULL;
	if (!path || !strncmp(path + 1, "/..", 3)) /* outside our cgroup namespace */
		return;
	*controllers++ = *path++ = '\0';
	if (!*controllers)
		snprintf(cgroups->unified, sizeof(cgroups->unified), "%s", path);
	if (has_word(controllers, "memory"))
		snprintf(cgroups->memory, sizeof(cgroups->memory), "%s", path);
	if (has_word(controllers, "freezer"))
		snprintf(cgroups->freezer, sizeof(cgroups->freezer), "%s", path);
}

void ccr_cgroups_of(struct ccr_cgroups *cgroups, int root, pid_t pid, struct text *text)
{
	char *rest, *line;

	memset(cgroups, 0, sizeof(*cgroups));
	if (ccr__text_read(text, TEXT_ALL, root, "proc/%d/cgroup", pid))
		return;
	rest = text->data;
	while ((line = ccr__text_line(&rest)))
		note_line(cgroups, line);
}

const char *ccr_cgroups_memory(const struct ccr_cgroups *cgroups)
{
	return *cgroups->memory ? cgroups->memory : cgroups->unified;
}

static const char *unified_mount(int root)
{
	return faccessat(root, MOUNT "/cgroup.controllers", F_OK, 0) ? UNIFIED : MOUNT;
}

bool ccr_cgroups_frozen(const struct ccr_cgroups *cgroups, int root, struct text *text)
{
	if (*cgroups->unified &&
	    !ccr__text_read(text, TEXT_ALL, root, "%s%s/cgroup.events", unified_mount(root),
			    cgroups->unified) &&
	    ccr__text_number(text, "frozen", 0))
		return true;
	return *cgroups->freezer &&
	       !ccr__text_read(text, TEXT_ALL, root, FREEZER "%s/freezer.state",
			       cgroups->freezer) &&
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
	if (ccr__text_read(text, TEXT_ALL, root, "%s%s/%s", mount, path, files->limit))
		return UINT64_MAX;
	limit = ccr__text_number(text, "", UINT64_MAX);
	if (limit >= NO_LIMIT ||
	    ccr__text_read(text, TEXT_ALL, root, "%s%s/%s", mount, path, files->usage))
		return UINT64_MAX;
	used = ccr__text_number(text, "", 0);
	ccr__text_read(text, TEXT_ALL, root, "%s%s/memory.stat", mount, path);
	cache = ccr__text_number(text, files->inactive, 0) +
		ccr__text_number(text, files->active, 0);
	used = used > cache ? used - cache : 0;
	return limit > used ? limit - used : 0;
}

uint64_t ccr_cgroups_room(const struct ccr_cgroups *cgroups, int root, struct text *text,
			  char *where, size_t size)
{
	const bool is_unified = !*cgroups->memory;
	const char *mount = is_unified ? unified_mount(root) : MEMORY;
	char current[sizeof(cgroups->memory)];
	uint64_t least = UINT64_MAX;
	char *slash = current;

	snprintf(current, sizeof(current), "%s", ccr_cgroups_memory(cgroups));
	/* A container sees its own cgroup, which has a limit, as the root, or mounted there. */
	while (*current && slash) {
		uint64_t left;

		slash = strrchr(current, '/');
		if (slash == current && current[1] == '\0')
			slash = NULL;
		left = left_in(current, mount, is_unified ? &version2 : &version1, root, text);
		if (left < least) {
			least = left;
			snprintf(where, size, "%s", current);
		}
		if (slash)
			slash[slash == current] = '\0'; /* "/a" is below "/" */
	}
	return least;
}
