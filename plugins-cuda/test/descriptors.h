// SPDX-License-Identifier: MIT
/* For tests that compare how many descriptors this process has open. */
#ifndef CCR_TEST_DESCRIPTORS_H
#define CCR_TEST_DESCRIPTORS_H

#include <dirent.h>
#include <stdlib.h>

/* Counts all of them, because a leaked one may have a higher number than a closed one. */
static inline int nr_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int nr = 0;

	if (!dir)
		abort();
	while (readdir(dir))
		nr++;
	closedir(dir);
	return nr;
}

#endif
