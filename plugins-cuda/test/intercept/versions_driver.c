// SPDX-License-Identifier: MIT
/* A driver of the future, for versions.c: some calls have a version that nobody knows yet. */
#include <string.h>

#include "common/driver/cuda_abi.h"

#define EXPORT __attribute__((visibility("default")))
/* Each call returns its own number. */
#define CALL(name, number)            \
	EXPORT int name(void);        \
	EXPORT int name(void)         \
	{                             \
		return number + 1000; \
	}

CALL(future_cuMemFree, 1)
CALL(future_cuMemFree_v2, 2)
CALL(future_cuMemMap, 3)
CALL(future_cuMemMap_v9, 4)
CALL(future_cuMemMap_v10_ptsz, 5)
CALL(future_cuCtxCreate_v9, 6)
CALL(future_cuMemcpyHtoD_v2, 7)
CALL(future_cuMemcpyHtoD_v9, 8)
CALL(future_cuBrandNew_v3, 9)
CALL(future_cuStreamBeginCapture_v9, 10)

#define ALIAS(name) \
	__asm__(".globl " #name "\n.type " #name ", %function\n.set " #name ", future_" #name);
ALIAS(cuMemFree)
ALIAS(cuMemFree_v2)
ALIAS(cuMemMap)
ALIAS(cuMemMap_v9)
ALIAS(cuMemMap_v10_ptsz)
ALIAS(cuCtxCreate_v9)
ALIAS(cuMemcpyHtoD_v2)
ALIAS(cuMemcpyHtoD_v9)
ALIAS(cuBrandNew_v3)
ALIAS(cuStreamBeginCapture_v9)

static const struct {
	const char *base;
	int since;
	int (*function)(void);
} table[] = {
	{"cuMemFree", 2000, future_cuMemFree},
	{"cuMemFree", 3020, future_cuMemFree_v2},
	{"cuMemMap", 10020, future_cuMemMap},
	{"cuMemMap", 14000, future_cuMemMap_v9},
	{"cuCtxCreate", 14000, future_cuCtxCreate_v9},
	{"cuMemcpyHtoD", 3020, future_cuMemcpyHtoD_v2},
	{"cuMemcpyHtoD", 14000, future_cuMemcpyHtoD_v9},
	{"cuBrandNew", 14000, future_cuBrandNew_v3},
	{"cuStreamBeginCapture", 14000, future_cuStreamBeginCapture_v9},
};

#pragma GCC visibility push(default)

CUresult cuInit(unsigned int flags)
{
	return CUDA_SUCCESS;
}

CUresult cuDriverGetVersion(int *version)
{
	*version = 14000;
	return CUDA_SUCCESS;
}

CUresult cuGetProcAddress_v2(const char *symbol, void **pfn, int version, cuuint64_t flags,
			     CUdriverProcAddressQueryResult *status)
{
	*pfn = NULL;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (!strcmp(table[i].base, symbol) && table[i].since <= version)
			*pfn = (void *)table[i].function;
	if (status)
		*status = *pfn ? CU_GET_PROC_ADDRESS_SUCCESS : CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND;
	return *pfn ? CUDA_SUCCESS : CUDA_ERROR_NOT_FOUND;
}

CUresult cuGetProcAddress(const char *symbol, void **pfn, int version, cuuint64_t flags)
{
	return cuGetProcAddress_v2(symbol, pfn, version, flags, NULL);
}
