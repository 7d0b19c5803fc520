// SPDX-License-Identifier: MIT
// Names of CUresult values. Constant data only: safe in any thread, and before and after a fork.
#include "common/driver/cuda_error.h"

#include <stddef.h>
#include <string.h>

static const struct {
	int value;
	const char *name;
} results[] = {
#define ROW(symbol, number) {number, #symbol},
	CCR_CUDA_RESULTS(ROW)
#undef ROW
};

const char *ccr_cuda_error_name(CUresult result)
{
	for (size_t i = 0; i < sizeof(results) / sizeof(results[0]); i++)
		if (results[i].value == (int)result)
			return results[i].name;
	return "CUDA_ERROR_<unlisted>";
}

int ccr_cuda_error_value(const char *name)
{
	for (size_t i = 0; i < sizeof(results) / sizeof(results[0]); i++)
		if (!strcmp(results[i].name, name))
			return results[i].value;
	return -1;
}
