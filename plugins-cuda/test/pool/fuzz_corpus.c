// SPDX-License-Identifier: MIT
/* Runs fuzz.c over the files of a directory, which has inputs that a fuzzer has found. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int main(int argc, char **argv)
{
	static uint8_t data[1 << 16];
	struct dirent *entry;
	int nr = 0;
	DIR *dir = argc == 2 ? opendir(argv[1]) : NULL;

	if (!dir) {
		perror("corpus");
		return 1;
	}
	while ((entry = readdir(dir))) {
		char path[4096];
		FILE *file;

		snprintf(path, sizeof(path), "%s/%s", argv[1], entry->d_name);
		file = entry->d_name[0] == '.' ? NULL : fopen(path, "re");
		if (!file)
			continue;
		LLVMFuzzerTestOneInput(data, fread(data, 1, sizeof(data), file));
		fclose(file);
		nr++;
	}
	closedir(dir);
	printf("%d inputs\n", nr);
	return nr ? 0 : 1;
}
