// SPDX-License-Identifier: GPL-2.0-only
#include "plugin/host/remap/smaps.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "image/pages/pages.h"
#include "plugin/host/remap/shared.h"

/* Parses the first line of a mapping; false when `line` is another one. */
static bool parse_head(struct mapping *m, char *line)
{
	unsigned long start, end, offset, inode;
	unsigned int major, minor;
	char perms[5], *path;
	int at = 0;

	if (sscanf(line, "%lx-%lx %4s %lx %x:%x %lu %n", &start, &end, perms, &offset, &major,
		   &minor, &inode, &at) != 7)
		return false;
	path = line + at;
	path[strcspn(path, "\n")] = '\0';
	*m = (struct mapping){.start = start,
			      .end = end,
			      .offset = offset,
			      .inode = inode,
			      .device = {major, minor}};
	m->prot = (perms[0] == 'r' ? PROT_READ : 0) | (perms[1] == 'w' ? PROT_WRITE : 0) |
		  (perms[2] == 'x' ? PROT_EXEC : 0);
	m->is_page_file = perms[3] == 'p' && inode && ccr_pages_is_page_file(path);
	m->is_private = m->is_page_file ||
			(perms[3] == 'p' && !inode &&
			 (!*path || !strcmp(path, "[heap]") || !strncmp(path, "[anon:", 6)));
	m->is_shared = perms[3] == 's' && ccr__is_shared_anonymous(path);
	m->is_known = true;
	return true;
}

/* Parses "VmFlags: rd wr ...". A mapping with a flag that is not listed is unknown. */
static void parse_flags(struct mapping *m, const char *flags)
{
	static const struct {
		char name[3];
		unsigned int flag;
	} known[] = {
		{"rd", 0}, /* access, now and possible */
		{"wr", 0},
		{"mr", 0},
		{"mw", 0},
		{"me", 0},
		{"sh", 0}, /* shared, or may be shared */
		{"ms", 0},
		{"sd", 0}, /* soft-dirty */
		{"wf", 0}, /* MADV_WIPEONFORK */
		{"mg", 0}, /* MADV_MERGEABLE */
		{"ac", MAPPING_ACCOUNTED},
		{"nr", MAPPING_NORESERVE},
		{"dc", MAPPING_DONTFORK},
		{"dd", MAPPING_DONTDUMP},
		{"hg", MAPPING_HUGEPAGE},
		{"nh", MAPPING_NOHUGEPAGE},
		{"sr", MAPPING_SEQUENTIAL},
		{"rr", MAPPING_RANDOM},
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
			m->flags |= known[i].flag;
	}
}

static void parse_field(struct mapping *m, const char *line)
{
	uint64_t kib;

	if (sscanf(line, "Rss: %" SCNu64 " kB", &kib) == 1 ||
	    sscanf(line, "Swap: %" SCNu64 " kB", &kib) == 1)
		m->in_memory += kib * 1024;
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
			if (!parse_head(&mapping, line))
				parse_field(&mapping, line);
			continue;
		}
		parse_flags(&mapping, line + 8);
		ret = each(&mapping, data);
	}
	free(line);
	fclose(smaps);
	return ret;
}
