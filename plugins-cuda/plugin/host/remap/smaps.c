// SPDX-License-Identifier: GPL-2.0-only
#include "plugin/host/remap/smaps.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "image/pages/pages.h"
#include "plugin/host/remap/remap.h"
#include "plugin/host/remap/shared.h"

/* Parses the first line of a mapping; false when `line` is another one. */
static bool parse_head(struct mapping *m, char *line)
{
	unsigned long start, end, offset, inode;
	char perms[5], *path;
	int at = 0;

	if (sscanf(line, "%lx-%lx %4s %lx %*x:%*x %lu %n", &start, &end, perms, &offset, &inode,
		   &at) != 5)
		return false;
	path = line + at;
	path[strcspn(path, "\n")] = '\0';
	*m = (struct mapping){.start = start, .end = end, .offset = offset, .inode = inode};
	m->prot = (perms[0] == 'r' ? PROT_READ : 0) | (perms[1] == 'w' ? PROT_WRITE : 0) |
		  (perms[2] == 'x' ? PROT_EXEC : 0);
	m->is_page_file = perms[3] == 'p' && inode && ccr_pages_is_page_file(path);
	m->is_private = m->is_page_file ||
			(perms[3] == 'p' && !inode && (!*path || !strcmp(path, "[heap]")));
	m->is_shared = perms[3] == 's' && !strcmp(path, CCR_SHARED_ANONYMOUS);
	m->is_known = true;
	return true;
}

/* Parses "VmFlags: rd wr ...": the flags to keep. Any flag that is not listed makes the mapping
 * unknown.
 */
static void parse_flags(struct mapping *m, const char *flags)
{
	static const struct {
		char name[3];
		unsigned int advice;
	} known[] = {
		{"rd", 0},
		{"wr", 0},
		{"mr", 0},
		{"mw", 0},
		{"me", 0},
		{"ac", 0},
		{"sd", 0}, /* soft-dirty */
		{"sh", 0}, /* shared, or may be shared */
		{"ms", 0},
		{"nr", REMAP_NORESERVE},
		{"dc", REMAP_DONTFORK},
		{"dd", REMAP_DONTDUMP},
		{"hg", REMAP_HUGEPAGE},
		{"nh", REMAP_NOHUGEPAGE},
		{"sr", REMAP_SEQUENTIAL},
		{"rr", REMAP_RANDOM},
	};
	char name[3];
	int length;

	for (; sscanf(flags, " %2[a-z?]%n", name, &length) == 1; flags += length) {
		size_t i = 0;

		while (i < sizeof(known) / sizeof(known[0]) && strcmp(known[i].name, name))
			i++;
		if (i == sizeof(known) / sizeof(known[0]))
			m->is_known = false;
		else
			m->advice |= known[i].advice;
	}
}

int ccr__smaps_for_each(pid_t pid, int (*each)(const struct mapping *mapping, void *data),
			void *data)
{
	struct mapping mapping = {0};
	char path[48], *line = NULL;
	size_t room = 0;
	FILE *smaps;
	int ret = 0;

	snprintf(path, sizeof(path), "/proc/%d/smaps", pid);
	smaps = fopen(path, "re");
	if (!smaps)
		return -errno;
	while (!ret && getline(&line, &room, smaps) > 0) {
		if (strncmp(line, "VmFlags:", 8)) {
			parse_head(&mapping, line);
			continue;
		}
		parse_flags(&mapping, line + 8);
		ret = each(&mapping, data);
	}
	free(line);
	fclose(smaps);
	return ret;
}
