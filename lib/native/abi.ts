// SPDX-License-Identifier: MIT
/**
 * The functions of libcuda and NVML that are called from here, and their structs, as C declares them. The only
 * declaration of them in TypeScript: koffi.ts makes its bindings from it, and a test compiles it against
 * plugins-cuda/common (CUDA) and native/nvml.h (NVML).
 * @module
 */

/** First driver API version with the checkpoint calls: driver 570. */
export const MIN_DRIVER_VERSION = 12080;

/** First one with custom storage: driver 615. */
export const STORAGE_DRIVER_VERSION = 13040;

export const CUDA_SUCCESS = 0;

/** What a process is in the middle of; CUprocessState. */
export type ProcessState = 'running' | 'locked' | 'checkpointed' | 'failed' | 'checkpointing' | 'restoring';

/** The index is the value. */
export const processStates: readonly ProcessState[] = [
  'running',
  'locked',
  'checkpointed',
  'failed',
  'checkpointing',
  'restoring',
];

export const NVML_SUCCESS = 0;
export const NVML_ERROR_NOT_SUPPORTED = 3;
export const NVML_ERROR_INSUFFICIENT_SIZE = 7;

/** Names of C for types that a foreign function call has other names for. */
export const aliases: Readonly<Record<string, string>> = {
  CUresult: 'int',
  CUprocessState: 'int',
  cuuint64_t: 'uint64_t',
  nvmlReturn_t: 'int',
  nvmlDevice_t: 'void *',
};

/** Fields in their order. What is reserved has to be zero. */
export const structs = {
  CUuuid: { bytes: 'uint8_t[16]' },
  CUcheckpointGpuPair: { oldUuid: 'CUuuid', newUuid: 'CUuuid' },
  CUcheckpointLockArgs: { timeoutMs: 'unsigned int', reserved0: 'unsigned int', reserved1: 'cuuint64_t[7]' },
  CUcheckpointRestoreArgs: {
    gpuPairs: 'CUcheckpointGpuPair *',
    gpuPairsCount: 'unsigned int',
    padding0: 'unsigned int',
    customStorageInfo_out: 'void *',
    reserved: 'uint8_t[40]',
  },
  nvmlMemory_t: { total: 'unsigned long long', free: 'unsigned long long', used: 'unsigned long long' },
  nvmlPciInfo_t: {
    busIdLegacy: 'uint8_t[16]',
    domain: 'unsigned int',
    bus: 'unsigned int',
    device: 'unsigned int',
    pciDeviceId: 'unsigned int',
    pciSubSystemId: 'unsigned int',
    busId: 'uint8_t[32]',
  },
  nvmlProcessInfo_t: {
    pid: 'unsigned int',
    usedGpuMemory: 'unsigned long long',
    gpuInstanceId: 'unsigned int',
    computeInstanceId: 'unsigned int',
  },
} as const satisfies Record<string, Record<string, string>>;

export type StructName = keyof typeof structs;

/** Parameters by function, in the order in which a missing function is reported. All return a CUresult. */
export const cudaFunctions = {
  cuInit: ['unsigned int'],
  cuDriverGetVersion: ['out int *'],
  cuCheckpointProcessGetRestoreThreadId: ['int', 'out int *'],
  cuCheckpointProcessGetState: ['int', 'out CUprocessState *'],
  cuCheckpointProcessLock: ['int', 'CUcheckpointLockArgs *'],
  cuCheckpointProcessCheckpoint: ['int', 'CUcheckpointCheckpointArgs *'],
  cuCheckpointProcessRestore: ['int', 'CUcheckpointRestoreArgs *'],
  cuCheckpointProcessUnlock: ['int', 'CUcheckpointUnlockArgs *'],
} as const satisfies Record<string, readonly string[]>;

/** As {@link cudaFunctions}; all return an nvmlReturn_t. */
export const nvmlFunctions = {
  nvmlInit_v2: [],
  nvmlSystemGetDriverVersion: ['char *', 'unsigned int'],
  nvmlSystemGetCudaDriverVersion_v2: ['out int *'],
  nvmlDeviceGetCount_v2: ['out unsigned int *'],
  nvmlDeviceGetHandleByIndex_v2: ['unsigned int', 'out nvmlDevice_t *'],
  nvmlDeviceGetUUID: ['nvmlDevice_t', 'char *', 'unsigned int'],
  nvmlDeviceGetName: ['nvmlDevice_t', 'char *', 'unsigned int'],
  nvmlDeviceGetMemoryInfo: ['nvmlDevice_t', 'out nvmlMemory_t *'],
  nvmlDeviceGetPciInfo_v3: ['nvmlDevice_t', 'out nvmlPciInfo_t *'],
  nvmlDeviceGetCurrPcieLinkGeneration: ['nvmlDevice_t', 'out unsigned int *'],
  nvmlDeviceGetMaxPcieLinkGeneration: ['nvmlDevice_t', 'out unsigned int *'],
  nvmlDeviceGetCurrPcieLinkWidth: ['nvmlDevice_t', 'out unsigned int *'],
  nvmlDeviceGetMaxPcieLinkWidth: ['nvmlDevice_t', 'out unsigned int *'],
  nvmlDeviceGetComputeRunningProcesses_v3: ['nvmlDevice_t', 'unsigned int *', 'nvmlProcessInfo_t *'],
} as const satisfies Record<string, readonly string[]>;
