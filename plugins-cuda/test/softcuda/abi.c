// SPDX-License-Identifier: MIT
// Compares our declarations of the CUDA ABI with cuda.h, if it was found at build time.
#include <stdio.h>
#include <string.h>
#include "common/driver/cuda_abi.h"
#include "test/softcuda/abi_list.h"

static const struct abi_row rows[] = {ABI_ROWS};
static const struct abi_row storage_rows[] = {ABI_STORAGE_ROWS};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

// Returns how many rows differ. A table without rows is not compared.
static unsigned int compare(const struct abi_row *ours, unsigned int nr_ours,
			    const struct abi_row *theirs, unsigned int nr_theirs)
{
	unsigned int wrong = nr_theirs && nr_ours != nr_theirs;

	for (unsigned int i = 0; i < nr_ours && i < nr_theirs; i++) {
		if (!strcmp(ours[i].name, theirs[i].name) && ours[i].value == theirs[i].value)
			continue;
		fprintf(stderr, "%s is %llu, cuda.h says %llu\n", ours[i].name, ours[i].value,
			theirs[i].value);
		wrong++;
	}
	return wrong;
}

int main(void)
{
	if (!abi_nr_cuda_rows) {
		printf("skipped: no cuda.h was found at build time\n");
		return 77;
	}
	return compare(rows, COUNT(rows), abi_cuda_rows, abi_nr_cuda_rows) ||
	       compare(storage_rows, COUNT(storage_rows), abi_cuda_storage_rows,
		       abi_nr_cuda_storage_rows);
}
