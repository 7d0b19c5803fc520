// SPDX-License-Identifier: GPL-2.0-only
/* A mapping has two dozen lines, of which four tell us something, and a server has thousands of
 * mappings: sscanf on each line takes five times as long as the kernel takes to write it. */
#include "plugin/host/remap/smaps.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "image/pages/pages.h"
#include "plugin/host/remap/shared.h"

/* Parses the first line of a mapping. */
static void parse_head(struct mapping *m, char *line)
{
	unsigned long start, end, offset, inode;
	unsigned int major, minor;
	char perms[5], *path;
	int at = 0;

	if (sscanf(line, "%lx-%lx %4s %lx %x:%x %lu %n", &start, &end, perms, &offset, &major,
		   &minor, &inode, &at) != 7)
		return;
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
	flags += strspn(flags, " ");
	for (; flags[0] && flags[1] && flags[0] != '\n'; flags += 2 + (flags[2] == ' ')) {
		size_t i = 0;

		while (i < sizeof(known) / sizeof(known[0]) && strncmp(known[i].name, flags, 2))
			i++;
		if (i == sizeof(known) / sizeof(known[0]))
			m->is_known = false;
		else
			m->flags |= known[i].flag;
	}
}

static void parse_field(struct mapping *m, const char *line)
{
	if (!strncmp(line, "Rss:", 4))
		m->in_memory += strtoull(line + 4, NULL, 10) * 1024;
	else if (!strncmp(line, "Swap:", 5))
		m->in_memory += strtoull(line + 5, NULL, 10) * 1024;
}

/* Names of fields begin with capital letters; addresses have small ones. */
static bool is_field(const char *line)
{
	return *line >= 'A' && *line <= 'Z';
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
		if (!is_field(line)) {
			parse_head(&mapping, line);
		} else if (strncmp(line, "VmFlags:", 8)) {
			parse_field(&mapping, line);
		} else {
			parse_flags(&mapping, line + 8);
			ret = each(&mapping, data);
		}
	}
	free(line);
	fclose(smaps);
	return ret;
}
