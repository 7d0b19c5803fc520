// SPDX-License-Identifier: MIT
// The one seam to NVML (libnvidia-ml.so.1): what it declares that is used here, and opening it. The
// layouts are NVML's ABI; nothing of NVIDIA's is needed to build.
#ifndef CCR_NATIVE_NVML_H
#define CCR_NATIVE_NVML_H

#include <string>
#include <vector>

namespace ccr
{

using NvmlDevice = struct nvmlDevice_st *;

enum NvmlResult {
	NVML_SUCCESS = 0,
	NVML_ERROR_NOT_SUPPORTED = 3,
	NVML_ERROR_INSUFFICIENT_SIZE = 7,
};

struct NvmlMemory {
	unsigned long long total, free, used;
};

struct NvmlPciInfo {
	char busIdLegacy[16];
	unsigned int domain, bus, device, pciDeviceId, pciSubSystemId;
	char busId[32];
};

struct NvmlProcessInfo {
	unsigned int pid;
	unsigned long long usedGpuMemory; // all bits set: not known
	unsigned int gpuInstanceId, computeInstanceId;
};

static_assert(sizeof(NvmlMemory) == 24, "part of NVML's ABI");
static_assert(sizeof(NvmlPciInfo) == 68, "part of NVML's ABI");
static_assert(sizeof(NvmlProcessInfo) == 24, "part of NVML's ABI");

#define CCR_NVML_CALLS(X)                                                              \
	X(nvmlInit_v2, ())                                                             \
	X(nvmlSystemGetDriverVersion, (char *version, unsigned int length))            \
	X(nvmlSystemGetCudaDriverVersion_v2, (int *version))                           \
	X(nvmlDeviceGetCount_v2, (unsigned int *count))                                \
	X(nvmlDeviceGetHandleByIndex_v2, (unsigned int index, NvmlDevice *device))     \
	X(nvmlDeviceGetUUID, (NvmlDevice device, char *uuid, unsigned int length))     \
	X(nvmlDeviceGetName, (NvmlDevice device, char *name, unsigned int length))     \
	X(nvmlDeviceGetMemoryInfo, (NvmlDevice device, NvmlMemory * memory))           \
	X(nvmlDeviceGetPciInfo_v3, (NvmlDevice device, NvmlPciInfo * pci))             \
	X(nvmlDeviceGetCurrPcieLinkGeneration, (NvmlDevice device, unsigned int *gen)) \
	X(nvmlDeviceGetMaxPcieLinkGeneration, (NvmlDevice device, unsigned int *gen))  \
	X(nvmlDeviceGetCurrPcieLinkWidth, (NvmlDevice device, unsigned int *width))    \
	X(nvmlDeviceGetMaxPcieLinkWidth, (NvmlDevice device, unsigned int *width))     \
	X(nvmlDeviceGetComputeRunningProcesses_v3,                                     \
	  (NvmlDevice device, unsigned int *count, NvmlProcessInfo *processes))

struct Nvml {
#define CCR_NVML_MEMBER(name, arguments) int(*name) arguments = nullptr;
	CCR_NVML_CALLS(CCR_NVML_MEMBER)
#undef CCR_NVML_MEMBER
	std::string path; // as it was opened
};

// Opens and initializes the first of `candidates` that can be opened; it stays so. Any thread.
// nullptr: none can be opened or a call is missing (`error` has a sentence, `result` is 0), or
// nvmlInit failed with `result`.
const Nvml *OpenNvml(const std::vector<std::string> &candidates, std::string *error, int *result);

} // namespace ccr

#endif
