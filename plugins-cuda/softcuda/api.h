// SPDX-License-Identifier: MIT
// Every call that the software driver exports. Exports, cuGetProcAddress and failure injection are
// generated from this list: X(name, parameters, arguments, kind, first CUDA version with it).
// Kinds: OPEN needs no cuInit and never waits at the gate; GATED does both; PTDS and PTSZ are GATED
// and have a second variant, with that suffix, for the per-thread default stream.
#ifndef CCR_SOFTCUDA_API_H
#define CCR_SOFTCUDA_API_H

// clang-format off
#define CCR_SOFT_BASE(X) \
X(cuInit, (unsigned int a), (a), OPEN, 2000) \
X(cuDriverGetVersion, (int *a), (a), OPEN, 2020) \
X(cuGetErrorName, (CUresult a, const char **b), (a, b), OPEN, 6000) \
X(cuGetErrorString, (CUresult a, const char **b), (a, b), OPEN, 6000) \
X(cuGetProcAddress, (const char *a, void **b, int c, cuuint64_t d), (a, b, c, d), OPEN, 11030) \
X(cuGetProcAddress_v2, (const char *a, void **b, int c, cuuint64_t d, CUdriverProcAddressQueryResult *e), (a, b, c, d, e), OPEN, 12000) \
X(cuCheckpointProcessGetState, (int a, CUprocessState *b), (a, b), OPEN, 12080) \
X(cuCheckpointProcessGetRestoreThreadId, (int a, int *b), (a, b), OPEN, 12080) \
X(cuCheckpointProcessLock, (int a, CUcheckpointLockArgs *b), (a, b), OPEN, 12080) \
X(cuCheckpointProcessCheckpoint, (int a, CUcheckpointCheckpointArgs *b), (a, b), OPEN, 12080) \
X(cuCheckpointProcessRestore, (int a, CUcheckpointRestoreArgs *b), (a, b), OPEN, 12080) \
X(cuCheckpointProcessUnlock, (int a, CUcheckpointUnlockArgs *b), (a, b), OPEN, 12080) \
X(cuCheckpointOperationComplete, (CUcheckpointOperationHandle a), (a), GATED, 13040) \
X(cuDeviceGetCount, (int *a), (a), GATED, 2000) \
X(cuDeviceGet, (CUdevice *a, int b), (a, b), GATED, 2000) \
X(cuDeviceGetName, (char *a, int b, CUdevice c), (a, b, c), GATED, 2000) \
X(cuDeviceTotalMem_v2, (size_t *a, CUdevice b), (a, b), GATED, 3020) \
X(cuDeviceGetAttribute, (int *a, CUdevice_attribute b, CUdevice c), (a, b, c), GATED, 2000) \
X(cuDeviceGetUuid, (CUuuid *a, CUdevice b), (a, b), GATED, 9020) \
X(cuDeviceGetUuid_v2, (CUuuid *a, CUdevice b), (a, b), GATED, 11040) \
X(cuDeviceGetPCIBusId, (char *a, int b, CUdevice c), (a, b, c), GATED, 4010) \
X(cuDeviceCanAccessPeer, (int *a, CUdevice b, CUdevice c), (a, b, c), GATED, 4000) \
X(cuDevicePrimaryCtxRetain, (CUcontext *a, CUdevice b), (a, b), GATED, 7000) \
X(cuDevicePrimaryCtxRelease_v2, (CUdevice a), (a), GATED, 11000) \
X(cuDevicePrimaryCtxReset_v2, (CUdevice a), (a), GATED, 11000) \
X(cuDevicePrimaryCtxGetState, (CUdevice a, unsigned int *b, int *c), (a, b, c), GATED, 7000) \
X(cuDevicePrimaryCtxSetFlags_v2, (CUdevice a, unsigned int b), (a, b), GATED, 11000) \
X(cuCtxCreate_v2, (CUcontext *a, unsigned int b, CUdevice c), (a, b, c), GATED, 3020) \
X(cuCtxCreate_v4, (CUcontext *a, CUctxCreateParams *b, unsigned int c, CUdevice d), (a, b, c, d), GATED, 12050) \
X(cuCtxDestroy_v2, (CUcontext a), (a), GATED, 4000) \
X(cuCtxSetCurrent, (CUcontext a), (a), GATED, 4000) \
X(cuCtxGetCurrent, (CUcontext *a), (a), GATED, 4000) \
X(cuCtxPushCurrent_v2, (CUcontext a), (a), GATED, 4000) \
X(cuCtxPopCurrent_v2, (CUcontext *a), (a), GATED, 4000) \
X(cuCtxGetDevice, (CUdevice *a), (a), GATED, 2000) \
X(cuCtxGetFlags, (unsigned int *a), (a), GATED, 7000) \
X(cuCtxSynchronize, (void), (), GATED, 2000) \
X(cuCtxGetApiVersion, (CUcontext a, unsigned int *b), (a, b), GATED, 3020) \
X(cuCtxEnablePeerAccess, (CUcontext a, unsigned int b), (a, b), GATED, 4000) \
X(cuCtxDisablePeerAccess, (CUcontext a), (a), GATED, 4000) \
X(cuCtxGetStreamPriorityRange, (int *a, int *b), (a, b), GATED, 5050)

#define CCR_SOFT_MEMORY(X) \
X(cuMemGetInfo_v2, (size_t *a, size_t *b), (a, b), GATED, 3020) \
X(cuMemAlloc_v2, (CUdeviceptr *a, size_t b), (a, b), GATED, 3020) \
X(cuMemAllocPitch_v2, (CUdeviceptr *a, size_t *b, size_t c, size_t d, unsigned int e), (a, b, c, d, e), GATED, 3020) \
X(cuMemFree_v2, (CUdeviceptr a), (a), GATED, 3020) \
X(cuMemGetAddressRange_v2, (CUdeviceptr *a, size_t *b, CUdeviceptr c), (a, b, c), GATED, 3020) \
X(cuPointerGetAttribute, (void *a, CUpointer_attribute b, CUdeviceptr c), (a, b, c), GATED, 4000) \
X(cuPointerGetAttributes, (unsigned int a, CUpointer_attribute *b, void **c, CUdeviceptr d), (a, b, c, d), GATED, 7000) \
X(cuMemAddressReserve, (CUdeviceptr *a, size_t b, size_t c, CUdeviceptr d, unsigned long long e), (a, b, c, d, e), GATED, 10020) \
X(cuMemAddressFree, (CUdeviceptr a, size_t b), (a, b), GATED, 10020) \
X(cuMemCreate, (CUmemGenericAllocationHandle *a, size_t b, const CUmemAllocationProp *c, unsigned long long d), (a, b, c, d), GATED, 10020) \
X(cuMemRelease, (CUmemGenericAllocationHandle a), (a), GATED, 10020) \
X(cuMemMap, (CUdeviceptr a, size_t b, size_t c, CUmemGenericAllocationHandle d, unsigned long long e), (a, b, c, d, e), GATED, 10020) \
X(cuMemUnmap, (CUdeviceptr a, size_t b), (a, b), GATED, 10020) \
X(cuMemSetAccess, (CUdeviceptr a, size_t b, const CUmemAccessDesc *c, size_t d), (a, b, c, d), GATED, 10020) \
X(cuMemGetAccess, (unsigned long long *a, const CUmemLocation *b, CUdeviceptr c), (a, b, c), GATED, 10020) \
X(cuMemExportToShareableHandle, (void *a, CUmemGenericAllocationHandle b, CUmemAllocationHandleType c, unsigned long long d), (a, b, c, d), GATED, 10020) \
X(cuMemImportFromShareableHandle, (CUmemGenericAllocationHandle *a, void *b, CUmemAllocationHandleType c), (a, b, c), GATED, 10020) \
X(cuMemGetAllocationGranularity, (size_t *a, const CUmemAllocationProp *b, CUmemAllocationGranularity_flags c), (a, b, c), GATED, 10020) \
X(cuMemGetAllocationPropertiesFromHandle, (CUmemAllocationProp *a, CUmemGenericAllocationHandle b), (a, b), GATED, 10020) \
X(cuMemRetainAllocationHandle, (CUmemGenericAllocationHandle *a, void *b), (a, b), GATED, 11000) \
X(cuIpcGetMemHandle, (CUipcMemHandle *a, CUdeviceptr b), (a, b), GATED, 4010) \
X(cuIpcOpenMemHandle_v2, (CUdeviceptr *a, CUipcMemHandle b, unsigned int c), (a, b, c), GATED, 11000) \
X(cuIpcCloseMemHandle, (CUdeviceptr a), (a), GATED, 4010) \
X(cuMulticastCreate, (CUmemGenericAllocationHandle *a, const CUmulticastObjectProp *b), (a, b), GATED, 12010) \
X(cuMulticastAddDevice, (CUmemGenericAllocationHandle a, CUdevice b), (a, b), GATED, 12010) \
X(cuMulticastBindMem, (CUmemGenericAllocationHandle a, size_t b, CUmemGenericAllocationHandle c, size_t d, size_t e, unsigned long long f), (a, b, c, d, e, f), GATED, 12010) \
X(cuMulticastBindMem_v2, (CUmemGenericAllocationHandle a, CUdevice b, size_t c, CUmemGenericAllocationHandle d, size_t e, size_t f, unsigned long long g), (a, b, c, d, e, f, g), GATED, 13010) \
X(cuMulticastBindAddr, (CUmemGenericAllocationHandle a, size_t b, CUdeviceptr c, size_t d, unsigned long long e), (a, b, c, d, e), GATED, 12010) \
X(cuMulticastBindAddr_v2, (CUmemGenericAllocationHandle a, CUdevice b, size_t c, CUdeviceptr d, size_t e, unsigned long long f), (a, b, c, d, e, f), GATED, 13010) \
X(cuMemHostAlloc, (void **a, size_t b, unsigned int c), (a, b, c), GATED, 2020) \
X(cuMemAllocHost_v2, (void **a, size_t b), (a, b), GATED, 3020) \
X(cuMemFreeHost, (void *a), (a), GATED, 2000) \
X(cuMemHostRegister_v2, (void *a, size_t b, unsigned int c), (a, b, c), GATED, 6050) \
X(cuMemHostUnregister, (void *a), (a), GATED, 4000) \
X(cuMemHostGetDevicePointer_v2, (CUdeviceptr *a, void *b, unsigned int c), (a, b, c), GATED, 3020) \
X(cuMemHostGetFlags, (unsigned int *a, void *b), (a, b), GATED, 3000)

#define CCR_SOFT_WORK(X) \
X(cuMemcpy, (CUdeviceptr a, CUdeviceptr b, size_t c), (a, b, c), PTDS, 4000) \
X(cuMemcpyHtoD_v2, (CUdeviceptr a, const void *b, size_t c), (a, b, c), PTDS, 3020) \
X(cuMemcpyDtoH_v2, (void *a, CUdeviceptr b, size_t c), (a, b, c), PTDS, 3020) \
X(cuMemcpyDtoD_v2, (CUdeviceptr a, CUdeviceptr b, size_t c), (a, b, c), PTDS, 3020) \
X(cuMemcpyPeer, (CUdeviceptr a, CUcontext b, CUdeviceptr c, CUcontext d, size_t e), (a, b, c, d, e), PTDS, 4000) \
X(cuMemcpyAsync, (CUdeviceptr a, CUdeviceptr b, size_t c, CUstream d), (a, b, c, d), PTSZ, 4000) \
X(cuMemcpyHtoDAsync_v2, (CUdeviceptr a, const void *b, size_t c, CUstream d), (a, b, c, d), PTSZ, 3020) \
X(cuMemcpyDtoHAsync_v2, (void *a, CUdeviceptr b, size_t c, CUstream d), (a, b, c, d), PTSZ, 3020) \
X(cuMemcpyDtoDAsync_v2, (CUdeviceptr a, CUdeviceptr b, size_t c, CUstream d), (a, b, c, d), PTSZ, 3020) \
X(cuMemcpyPeerAsync, (CUdeviceptr a, CUcontext b, CUdeviceptr c, CUcontext d, size_t e, CUstream f), (a, b, c, d, e, f), PTSZ, 4000) \
X(cuMemsetD8_v2, (CUdeviceptr a, unsigned char b, size_t c), (a, b, c), PTDS, 3020) \
X(cuMemsetD16_v2, (CUdeviceptr a, unsigned short b, size_t c), (a, b, c), PTDS, 3020) \
X(cuMemsetD32_v2, (CUdeviceptr a, unsigned int b, size_t c), (a, b, c), PTDS, 3020) \
X(cuMemsetD8Async, (CUdeviceptr a, unsigned char b, size_t c, CUstream d), (a, b, c, d), PTSZ, 3020) \
X(cuMemsetD16Async, (CUdeviceptr a, unsigned short b, size_t c, CUstream d), (a, b, c, d), PTSZ, 3020) \
X(cuMemsetD32Async, (CUdeviceptr a, unsigned int b, size_t c, CUstream d), (a, b, c, d), PTSZ, 3020) \
X(cuStreamCreate, (CUstream *a, unsigned int b), (a, b), GATED, 2000) \
X(cuStreamCreateWithPriority, (CUstream *a, unsigned int b, int c), (a, b, c), GATED, 5050) \
X(cuStreamDestroy_v2, (CUstream a), (a), GATED, 4000) \
X(cuStreamSynchronize, (CUstream a), (a), PTSZ, 2000) \
X(cuStreamQuery, (CUstream a), (a), PTSZ, 2000) \
X(cuStreamWaitEvent, (CUstream a, CUevent b, unsigned int c), (a, b, c), PTSZ, 3020) \
X(cuStreamGetFlags, (CUstream a, unsigned int *b), (a, b), PTSZ, 5050) \
X(cuStreamGetPriority, (CUstream a, int *b), (a, b), PTSZ, 5050) \
X(cuStreamGetCtx, (CUstream a, CUcontext *b), (a, b), PTSZ, 9020) \
X(cuStreamBeginCapture, (CUstream a), (a), PTSZ, 10000) \
X(cuStreamBeginCapture_v2, (CUstream a, CUstreamCaptureMode b), (a, b), PTSZ, 10010) \
X(cuStreamEndCapture, (CUstream a, CUgraph *b), (a, b), PTSZ, 10000) \
X(cuStreamIsCapturing, (CUstream a, CUstreamCaptureStatus *b), (a, b), PTSZ, 10000) \
X(cuLaunchHostFunc, (CUstream a, CUhostFn b, void *c), (a, b, c), PTSZ, 10000) \
X(cuStreamAddCallback, (CUstream a, CUstreamCallback b, void *c, unsigned int d), (a, b, c, d), PTSZ, 5000) \
X(cuStreamWriteValue64_v2, (CUstream a, CUdeviceptr b, cuuint64_t c, unsigned int d), (a, b, c, d), PTSZ, 11070) \
X(cuStreamWaitValue64_v2, (CUstream a, CUdeviceptr b, cuuint64_t c, unsigned int d), (a, b, c, d), PTSZ, 11070) \
X(cuEventCreate, (CUevent *a, unsigned int b), (a, b), GATED, 2000) \
X(cuEventRecord, (CUevent a, CUstream b), (a, b), PTSZ, 2000) \
X(cuEventQuery, (CUevent a), (a), GATED, 2000) \
X(cuEventSynchronize, (CUevent a), (a), GATED, 2000) \
X(cuEventDestroy_v2, (CUevent a), (a), GATED, 4000) \
X(cuEventElapsedTime, (float *a, CUevent b, CUevent c), (a, b, c), GATED, 2000) \
X(cuEventElapsedTime_v2, (float *a, CUevent b, CUevent c), (a, b, c), GATED, 12080) \
X(cuIpcGetEventHandle, (CUipcEventHandle *a, CUevent b), (a, b), GATED, 4010) \
X(cuIpcOpenEventHandle, (CUevent *a, CUipcEventHandle b), (a, b), GATED, 4010) \
X(cuGraphAddEventRecordNode, (CUgraphNode *a, CUgraph b, const CUgraphNode *c, size_t d, CUevent e), (a, b, c, d, e), GATED, 11010) \
X(cuGraphAddEventWaitNode, (CUgraphNode *a, CUgraph b, const CUgraphNode *c, size_t d, CUevent e), (a, b, c, d, e), GATED, 11010) \
X(cuGraphAddNode, (CUgraphNode *a, CUgraph b, const CUgraphNode *c, size_t d, CUgraphNodeParams *e), (a, b, c, d, e), GATED, 12020) \
X(cuModuleLoad, (CUmodule *a, const char *b), (a, b), GATED, 2000) \
X(cuModuleLoadData, (CUmodule *a, const void *b), (a, b), GATED, 2000) \
X(cuModuleLoadDataEx, (CUmodule *a, const void *b, unsigned int c, CUjit_option *d, void **e), (a, b, c, d, e), GATED, 2010) \
X(cuModuleUnload, (CUmodule a), (a), GATED, 2000) \
X(cuModuleGetFunction, (CUfunction *a, CUmodule b, const char *c), (a, b, c), GATED, 2000) \
X(cuModuleGetGlobal_v2, (CUdeviceptr *a, size_t *b, CUmodule c, const char *d), (a, b, c, d), GATED, 3020) \
X(cuFuncGetAttribute, (int *a, CUfunction_attribute b, CUfunction c), (a, b, c), GATED, 2020) \
X(cuFuncSetAttribute, (CUfunction a, CUfunction_attribute b, int c), (a, b, c), GATED, 9000) \
X(cuFuncGetModule, (CUmodule *a, CUfunction b), (a, b), GATED, 11000) \
X(cuLaunchKernel, (CUfunction a, unsigned int b, unsigned int c, unsigned int d, unsigned int e, unsigned int f, unsigned int g, unsigned int h, CUstream i, void **j, void **k), (a, b, c, d, e, f, g, h, i, j, k), PTSZ, 4000) \
X(cuLaunchKernelEx, (const CUlaunchConfig *a, CUfunction b, void **c, void **d), (a, b, c, d), PTSZ, 11060)

// Known calls that return CUDA_ERROR_NOT_SUPPORTED: U(name, CUDA version).
#define CCR_SOFT_REFUSED(U) \
U(cuMemAllocManaged, 6000) U(cuMemPrefetchAsync, 8000) U(cuMemAdvise, 8000) \
U(cuMemAllocAsync, 11020) U(cuMemFreeAsync, 11020) U(cuMemAllocFromPoolAsync, 11020) \
U(cuMemPoolCreate, 11020) U(cuMemPoolDestroy, 11020) U(cuMemPoolSetAttribute, 11020) \
U(cuMemPoolGetAttribute, 11020) U(cuMemPoolTrimTo, 11020) U(cuMemPoolSetAccess, 11020) \
U(cuDeviceGetDefaultMemPool, 11020) U(cuDeviceGetMemPool, 11020) U(cuDeviceSetMemPool, 11020) \
U(cuMemcpy2D_v2, 3020) U(cuMemcpy2DAsync_v2, 3020) U(cuMemcpy2DUnaligned_v2, 3020) \
U(cuMemcpy3D_v2, 3020) U(cuMemcpy3DAsync_v2, 3020) U(cuMemcpy3DPeer, 4000) \
U(cuMemsetD2D8_v2, 3020) U(cuMemsetD2D16_v2, 3020) U(cuMemsetD2D32_v2, 3020) \
U(cuMemcpyDtoA_v2, 3020) U(cuMemcpyAtoD_v2, 3020) U(cuMemcpyHtoA_v2, 3020) U(cuMemcpyAtoH_v2, 3020) \
U(cuArrayCreate_v2, 3020) U(cuArrayDestroy, 2000) U(cuArray3DCreate_v2, 3020) \
U(cuTexObjectCreate, 5000) U(cuTexObjectDestroy, 5000) U(cuSurfObjectCreate, 5000) \
\
U(cuLibraryLoadData, 12000) U(cuLibraryLoadFromFile, 12000) U(cuLibraryUnload, 12000) \
U(cuLibraryGetKernel, 12000) U(cuLibraryGetModule, 12000) U(cuKernelGetFunction, 12000) \
U(cuLinkCreate_v2, 6050) U(cuLinkAddData_v2, 6050) U(cuLinkComplete, 5050) U(cuLinkDestroy, 5050) \
\
U(cuStreamWaitValue32_v2, 11070) U(cuStreamWriteValue32_v2, 11070) U(cuStreamBatchMemOp_v2, 11070) \
U(cuGraphCreate, 10000) U(cuGraphDestroy, 10000) U(cuGraphInstantiateWithFlags, 11040) \
U(cuGraphLaunch, 10000) U(cuGraphExecDestroy, 10000) U(cuGraphAddKernelNode_v2, 12000) \
U(cuLaunchCooperativeKernel, 9000) U(cuCtxGetLimit, 3010) U(cuCtxSetLimit, 3010) \
U(cuCtxCreate_v3, 11040) \
U(cuMemMapArrayAsync, 11010) U(cuMemGetHandleForAddressRange, 11070) \
U(cuImportExternalMemory, 10000) U(cuDeviceGetP2PAttribute, 8000) U(cuGetExportTable, 3000) \
U(cuOccupancyMaxActiveBlocksPerMultiprocessor, 6050) U(cuProfilerStart, 4000) U(cuProfilerStop, 4000)
// clang-format on

#define CCR_SOFT_CALLS(X) CCR_SOFT_BASE(X) CCR_SOFT_MEMORY(X) CCR_SOFT_WORK(X)

#endif
