// SPDX-License-Identifier: MIT
// cuGetProcAddress: returns the newest version of a call that the requested CUDA version has.
#include "softcuda/impl.h"

#include <string.h>

static bool has_version(const char *name)
{
	size_t length = strlen(name);

	return length > 3 && !strncmp(name + length - 3, "_v", 2) && name[length - 1] >= '2' &&
	       name[length - 1] <= '9';
}

// 0 if `name` is not a version of `base`, else the number after _v (1 without a suffix).
static int version_of(const char *name, const char *base)
{
	size_t length = strlen(base);
	const char *rest = name + length;

	if (strncmp(name, base, length))
		return 0;
	if (!*rest)
		return 1;
	if (rest[0] == '_' && rest[1] == 'v' && rest[2] >= '2' && rest[2] <= '9' && !rest[3])
		return rest[2] - '0';
	return 0;
}

static const struct ccr_symbol *find(const char *base, int cuda_version, bool *too_new)
{
	const struct ccr_symbol *best = NULL;
	int best_version = 0;

	*too_new = false;
	for (size_t i = 0; i < ccr_nr_symbols; i++) {
		int version = version_of(ccr_symbols[i].name, base);

		if (!version)
			continue;
		if (ccr_symbols[i].version > ccr_soft_settings()->driver_version)
			continue;
		if (ccr_symbols[i].version > cuda_version)
			*too_new = true;
		else if (version > best_version) {
			best = &ccr_symbols[i];
			best_version = version;
		}
	}
	return best;
}

CUresult SOFT(cuGetProcAddress_v2)(const char *symbol, void **pfn, int cudaVersion,
				   cuuint64_t flags, CUdriverProcAddressQueryResult *status)
{
	const cuuint64_t known =
		CU_GET_PROC_ADDRESS_LEGACY_STREAM | CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM;
	const struct ccr_symbol *found;
	bool too_new;

	if (!symbol || !*symbol || !pfn || flags & ~known || flags == known)
		return CUDA_ERROR_INVALID_VALUE;
	*pfn = NULL;
	too_new = false;
	// The caller passes a name without version; the driver chooses the version.
	found = has_version(symbol) ? NULL : find(symbol, cudaVersion, &too_new);
	if (!found) {
		if (status)
			*status = too_new ? CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT
					  : CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND;
		return CUDA_ERROR_NOT_FOUND;
	}
	*pfn = found->plain;
	if (flags == CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM && found->per_thread)
		*pfn = found->per_thread;
	if (status)
		*status = CU_GET_PROC_ADDRESS_SUCCESS;
	return CUDA_SUCCESS;
}

CUresult SOFT(cuGetProcAddress)(const char *symbol, void **pfn, int cudaVersion, cuuint64_t flags)
{
	return SOFT(cuGetProcAddress_v2)(symbol, pfn, cudaVersion, flags, NULL);
}
