// SPDX-License-Identifier: MIT
// Compares our declarations of the CUDA ABI with cuda.h, if it was found at build time.
#include <stdio.h>
#include <string.h>
#include "common/driver/cuda_abi.h"
#include "test/softcuda/abi_list.h"

static const struct abi_row rows[] = {ABI_ROWS};

int main(void)
{
	unsigned int count = sizeof(rows) / sizeof(rows[0]), wrong = 0;

	if (!abi_nr_cuda_rows) {
		printf("skipped: no cuda.h was found at build time\n");
		return 77;
	}
	if (count != abi_nr_cuda_rows)
		wrong++;
	for (unsigned int i = 0; i < count && i < abi_nr_cuda_rows; i++) {
		if (!strcmp(rows[i].name, abi_cuda_rows[i].name) &&
		    rows[i].value == abi_cuda_rows[i].value)
			continue;
		fprintf(stderr, "%s is %llu, cuda.h says %llu\n", rows[i].name, rows[i].value,
			abi_cuda_rows[i].value);
		wrong++;
	}
	return wrong ? 1 : 0;
}
