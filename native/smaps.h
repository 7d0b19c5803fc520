// SPDX-License-Identifier: MIT
#ifndef CCR_NATIVE_SMAPS_H
#define CCR_NATIVE_SMAPS_H

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

namespace ccr
{

enum class MappingKind { kPrivateAnonymous, kSharedAnonymous, kFile, kDevice };

// Sizes in bytes.
struct Mapping {
	uint64_t start = 0, end = 0;
	std::string permissions; // rwxp
	std::string path;	 // as the kernel writes it; empty for anonymous memory
	MappingKind kind = MappingKind::kPrivateAnonymous;
	uint64_t resident = 0; // hugetlbfs included
	uint64_t huge = 0;     // of the resident ones, in huge pages of either sort
	uint64_t swapped = 0;
};

// Reads /proc/PID/smaps. 0 or the errno of open or read; ECANCELED when `is_cancelled` became true.
int ReadSmaps(int pid, const std::atomic<bool> &is_cancelled, std::vector<Mapping> *mappings);

} // namespace ccr

#endif
