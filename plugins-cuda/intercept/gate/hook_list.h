// SPDX-License-Identifier: MIT
// Every driver entry point that a program can name when it is compiled or linked, in each ABI
// version. The exported stubs are made from this list and nothing else. H(name, kind).
// Kinds: OPEN touches no device memory and passes the gate uncounted; REGS has all its arguments in
// registers; STACK has some on the stack. The assembler reads this too: preprocessor lines only.
// A newer driver's call that is not in the list gets a stub when the program asks for its name.
#ifndef CCR_HOOK_LIST_H
#define CCR_HOOK_LIST_H

// clang-format off
#define CCR_HOOKS_INIT(H) \
H(cuCheckpointOperationComplete, OPEN) H(cuCheckpointProcessCheckpoint, OPEN) \
H(cuCheckpointProcessGetRestoreThreadId, OPEN) H(cuCheckpointProcessGetState, OPEN) \
H(cuCheckpointProcessLock, OPEN) H(cuCheckpointProcessRestore, OPEN) \
H(cuCheckpointProcessUnlock, OPEN) H(cuCoredumpDeregisterCompleteCallback, REGS) \
H(cuCoredumpDeregisterStartCallback, REGS) H(cuCoredumpGetAttribute, REGS) \
H(cuCoredumpGetAttributeGlobal, REGS) H(cuCoredumpRegisterCompleteCallback, REGS) \
H(cuCoredumpRegisterStartCallback, REGS) H(cuCoredumpSetAttribute, REGS) \
H(cuCoredumpSetAttributeGlobal, REGS) H(cuDevResourceGenerateDesc, REGS) \
H(cuDevSmResourceSplitByCount, REGS) H(cuDriverGetVersion, OPEN) \
H(cuFlushGPUDirectRDMAWrites, REGS) H(cuFuncGetAttribute, REGS) H(cuFuncGetModule, REGS) \
H(cuFuncGetName, REGS) H(cuFuncGetParamCount, REGS) H(cuFuncGetParamInfo, REGS) \
H(cuFuncIsLoaded, REGS) H(cuFuncLoad, REGS) H(cuFuncSetAttribute, REGS) \
H(cuFuncSetBlockShape, REGS) H(cuFuncSetCacheConfig, REGS) H(cuFuncSetSharedMemConfig, REGS) \
H(cuFuncSetSharedSize, REGS) H(cuGetErrorName, OPEN) H(cuGetErrorString, OPEN) \
H(cuGetExportTable, REGS) H(cuGetProcAddress, OPEN) H(cuGetProcAddress_v2, OPEN) H(cuInit, REGS) \
H(cuKernelGetAttribute, REGS) H(cuKernelGetFunction, REGS) H(cuKernelGetLibrary, REGS) \
H(cuKernelGetName, REGS) H(cuKernelGetParamCount, REGS) H(cuKernelGetParamInfo, REGS) \
H(cuKernelSetAttribute, REGS) H(cuKernelSetCacheConfig, REGS) H(cuLaunch, REGS) \
H(cuLaunchCooperativeKernel, STACK) H(cuLaunchCooperativeKernelMultiDevice, REGS) \
H(cuLaunchCooperativeKernel_ptsz, STACK) H(cuLaunchGrid, REGS) H(cuLaunchGridAsync, REGS) \
H(cuLaunchHostFunc, REGS) H(cuLaunchHostFunc_ptsz, REGS) H(cuLaunchHostFunc_v2, REGS) \
H(cuLaunchHostFunc_v2_ptsz, REGS) H(cuLaunchKernel, STACK) H(cuLaunchKernelEx, REGS) \
H(cuLaunchKernelEx_ptsz, REGS) H(cuLaunchKernel_ptsz, STACK) H(cuLibraryEnumerateKernels, REGS) \
H(cuLibraryGetGlobal, REGS) H(cuLibraryGetKernel, REGS) H(cuLibraryGetKernelCount, REGS) \
H(cuLibraryGetManaged, REGS) H(cuLibraryGetModule, REGS) H(cuLibraryGetUnifiedFunction, REGS) \
H(cuLibraryLoadData, STACK) H(cuLibraryLoadFromFile, STACK) H(cuLibraryUnload, REGS) \
H(cuLinkAddData, STACK) H(cuLinkAddData_v2, STACK) H(cuLinkAddFile, REGS) \
H(cuLinkAddFile_v2, REGS) H(cuLinkComplete, REGS) H(cuLinkCreate, REGS) H(cuLinkCreate_v2, REGS) \
H(cuLinkDestroy, REGS) H(cuLogsCurrent, REGS) H(cuLogsDumpToFile, REGS) \
H(cuLogsDumpToMemory, REGS) H(cuLogsRegisterCallback, REGS) H(cuLogsUnregisterCallback, REGS) \
H(cuModuleEnumerateFunctions, REGS) H(cuModuleGetFunction, REGS) \
H(cuModuleGetFunctionCount, REGS) H(cuModuleGetGlobal, REGS) H(cuModuleGetGlobal_v2, REGS) \
H(cuModuleGetLoadingMode, REGS) H(cuModuleGetSurfRef, REGS) H(cuModuleGetTexRef, REGS) \
H(cuModuleLoad, REGS) H(cuModuleLoadData, REGS) H(cuModuleLoadDataEx, REGS) \
H(cuModuleLoadFatBinary, REGS) H(cuModuleUnload, REGS) \
H(cuOccupancyAvailableDynamicSMemPerBlock, REGS) \
H(cuOccupancyMaxActiveBlocksPerMultiprocessor, REGS) \
H(cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags, REGS) \
H(cuOccupancyMaxActiveClusters, REGS) H(cuOccupancyMaxPotentialBlockSize, REGS) \
H(cuOccupancyMaxPotentialBlockSizeWithFlags, STACK) H(cuOccupancyMaxPotentialClusterSize, REGS) \
H(cuParamSetSize, REGS) H(cuParamSetTexRef, REGS) H(cuParamSetf, REGS) H(cuParamSeti, REGS) \
H(cuParamSetv, REGS) H(cuProfilerInitialize, REGS) H(cuProfilerStart, REGS) \
H(cuProfilerStop, REGS) H(cuTensorMapEncodeIm2col, STACK) H(cuTensorMapEncodeIm2colWide, STACK) \
H(cuTensorMapEncodeTiled, STACK) H(cuTensorMapReplaceAddress, REGS) \
H(cuTensorMapSetAllocationClass, REGS) H(cuThreadExchangeStreamCaptureMode, REGS)

#define CCR_HOOKS_DEVICE(H) \
H(cuCtxAttach, REGS) H(cuCtxCreate, REGS) H(cuCtxCreate_v2, REGS) H(cuCtxCreate_v3, REGS) \
H(cuCtxCreate_v4, REGS) H(cuCtxDestroy, REGS) H(cuCtxDestroy_v2, REGS) H(cuCtxDetach, REGS) \
H(cuCtxDisablePeerAccess, REGS) H(cuCtxEnablePeerAccess, REGS) H(cuCtxFromGreenCtx, REGS) \
H(cuCtxGetApiVersion, REGS) H(cuCtxGetCacheConfig, REGS) H(cuCtxGetCurrent, REGS) \
H(cuCtxGetDevResource, REGS) H(cuCtxGetDevice, REGS) H(cuCtxGetDevice_v2, REGS) \
H(cuCtxGetExecAffinity, REGS) H(cuCtxGetFlags, REGS) H(cuCtxGetId, REGS) H(cuCtxGetLimit, REGS) \
H(cuCtxGetSharedMemConfig, REGS) H(cuCtxGetStreamPriorityRange, REGS) H(cuCtxPopCurrent, REGS) \
H(cuCtxPopCurrent_v2, REGS) H(cuCtxPushCurrent, REGS) H(cuCtxPushCurrent_v2, REGS) \
H(cuCtxRecordEvent, REGS) H(cuCtxResetPersistingL2Cache, REGS) H(cuCtxSetCacheConfig, REGS) \
H(cuCtxSetCurrent, REGS) H(cuCtxSetFlags, REGS) H(cuCtxSetLimit, REGS) \
H(cuCtxSetSharedMemConfig, REGS) H(cuCtxSynchronize, REGS) H(cuCtxSynchronize_v2, REGS) \
H(cuCtxWaitEvent, REGS) H(cuDevSmResourceSplit, REGS) H(cuDeviceCanAccessPeer, REGS) \
H(cuDeviceComputeCapability, REGS) H(cuDeviceGet, REGS) H(cuDeviceGetAttribute, REGS) \
H(cuDeviceGetByPCIBusId, REGS) H(cuDeviceGetCliqueCount, REGS) H(cuDeviceGetCliqueInfo, REGS) \
H(cuDeviceGetCount, REGS) H(cuDeviceGetDefaultMemPool, REGS) H(cuDeviceGetDevResource, REGS) \
H(cuDeviceGetExecAffinitySupport, REGS) H(cuDeviceGetFabricClusterUuid, REGS) \
H(cuDeviceGetGraphMemAttribute, REGS) H(cuDeviceGetHostAtomicCapabilities, REGS) \
H(cuDeviceGetLuid, REGS) H(cuDeviceGetMemPool, REGS) H(cuDeviceGetName, REGS) \
H(cuDeviceGetNvSciSyncAttributes, REGS) H(cuDeviceGetP2PAtomicCapabilities, REGS) \
H(cuDeviceGetP2PAttribute, REGS) H(cuDeviceGetPCIBusId, REGS) H(cuDeviceGetProperties, REGS) \
H(cuDeviceGetTexture1DLinearMaxWidth, REGS) H(cuDeviceGetUuid, REGS) H(cuDeviceGetUuid_v2, REGS) \
H(cuDeviceGraphMemTrim, REGS) H(cuDevicePrimaryCtxGetState, REGS) \
H(cuDevicePrimaryCtxRelease, REGS) H(cuDevicePrimaryCtxRelease_v2, REGS) \
H(cuDevicePrimaryCtxReset, REGS) H(cuDevicePrimaryCtxReset_v2, REGS) \
H(cuDevicePrimaryCtxRetain, REGS) H(cuDevicePrimaryCtxSetFlags, REGS) \
H(cuDevicePrimaryCtxSetFlags_v2, REGS) H(cuDeviceRegisterAsyncNotification, REGS) \
H(cuDeviceSetGraphMemAttribute, REGS) H(cuDeviceSetMemPool, REGS) H(cuDeviceTotalMem, REGS) \
H(cuDeviceTotalMem_v2, REGS) H(cuDeviceUnregisterAsyncNotification, REGS) \
H(cuGreenCtxCreate, REGS) H(cuGreenCtxDestroy, REGS) H(cuGreenCtxGetDevResource, REGS) \
H(cuGreenCtxGetId, REGS) H(cuGreenCtxRecordEvent, REGS) H(cuGreenCtxStreamCreate, REGS) \
H(cuGreenCtxWaitEvent, REGS)

#define CCR_HOOKS_MEMORY(H) \
H(cuArray3DCreate, REGS) H(cuArray3DCreate_v2, REGS) H(cuArray3DGetDescriptor, REGS) \
H(cuArray3DGetDescriptor_v2, REGS) H(cuArrayCreate, REGS) H(cuArrayCreate_v2, REGS) \
H(cuArrayDestroy, REGS) H(cuArrayGetDescriptor, REGS) H(cuArrayGetDescriptor_v2, REGS) \
H(cuArrayGetMemoryRequirements, REGS) H(cuArrayGetPlane, REGS) \
H(cuArrayGetSparseProperties, REGS) H(cuDestroyExternalMemory, REGS) \
H(cuDestroyExternalSemaphore, REGS) H(cuExternalMemoryGetMappedBuffer, REGS) \
H(cuExternalMemoryGetMappedMipmappedArray, REGS) H(cuFabricCpyBatchAsync, REGS) \
H(cuFabricCpyBatchAsync_ptsz, REGS) H(cuImportExternalMemory, REGS) \
H(cuImportExternalSemaphore, REGS) H(cuIpcCloseMemHandle, REGS) H(cuIpcGetEventHandle, REGS) \
H(cuIpcGetMemHandle, REGS) H(cuIpcOpenEventHandle, STACK) H(cuIpcOpenMemHandle, STACK) \
H(cuIpcOpenMemHandle_v2, STACK) H(cuLogicalEndpointAddDevice, REGS) \
H(cuLogicalEndpointBindAddr, REGS) H(cuLogicalEndpointBindMem, STACK) \
H(cuLogicalEndpointCreate, REGS) H(cuLogicalEndpointDestroy, REGS) \
H(cuLogicalEndpointExport, REGS) H(cuLogicalEndpointGetLimits, REGS) \
H(cuLogicalEndpointIdRelease, REGS) H(cuLogicalEndpointIdReserve, REGS) \
H(cuLogicalEndpointImport, REGS) H(cuLogicalEndpointQuery, REGS) \
H(cuLogicalEndpointUnbind, REGS) H(cuMemAddressFree, REGS) H(cuMemAddressReserve, REGS) \
H(cuMemAdvise, REGS) H(cuMemAdvise_v2, REGS) H(cuMemAlloc, REGS) H(cuMemAllocAsync, REGS) \
H(cuMemAllocAsync_ptsz, REGS) H(cuMemAllocFromPoolAsync, REGS) \
H(cuMemAllocFromPoolAsync_ptsz, REGS) H(cuMemAllocHost, REGS) H(cuMemAllocHost_v2, REGS) \
H(cuMemAllocManaged, REGS) H(cuMemAllocPitch, REGS) H(cuMemAllocPitch_v2, REGS) \
H(cuMemAlloc_v2, REGS) H(cuMemBatchDecompressAsync, REGS) \
H(cuMemBatchDecompressAsync_ptsz, REGS) H(cuMemCreate, REGS) \
H(cuMemDiscardAndPrefetchBatchAsync, STACK) H(cuMemDiscardAndPrefetchBatchAsync_ptsz, STACK) \
H(cuMemDiscardBatchAsync, REGS) H(cuMemDiscardBatchAsync_ptsz, REGS) \
H(cuMemExportToShareableHandle, REGS) H(cuMemFree, REGS) H(cuMemFreeAsync, REGS) \
H(cuMemFreeAsync_ptsz, REGS) H(cuMemFreeHost, REGS) H(cuMemFree_v2, REGS) \
H(cuMemGetAccess, REGS) H(cuMemGetAddressRange, REGS) H(cuMemGetAddressRange_v2, REGS) \
H(cuMemGetAllocationGranularity, REGS) H(cuMemGetAllocationPropertiesFromHandle, REGS) \
H(cuMemGetDefaultMemPool, REGS) H(cuMemGetHandleForAddressRange, REGS) H(cuMemGetInfo, REGS) \
H(cuMemGetInfo_v2, REGS) H(cuMemGetLocationInfo, REGS) H(cuMemGetMemPool, REGS) \
H(cuMemHostAlloc, REGS) H(cuMemHostGetDevicePointer, REGS) H(cuMemHostGetDevicePointer_v2, REGS) \
H(cuMemHostGetFlags, REGS) H(cuMemHostRegister, REGS) H(cuMemHostRegister_v2, REGS) \
H(cuMemHostUnregister, REGS) H(cuMemImportFromShareableHandle, REGS) H(cuMemMap, REGS) \
H(cuMemMapArrayAsync, REGS) H(cuMemMapArrayAsync_ptsz, REGS) H(cuMemPoolCreate, REGS) \
H(cuMemPoolDestroy, REGS) H(cuMemPoolExportPointer, REGS) \
H(cuMemPoolExportToShareableHandle, REGS) H(cuMemPoolGetAccess, REGS) \
H(cuMemPoolGetAttribute, REGS) H(cuMemPoolImportFromShareableHandle, REGS) \
H(cuMemPoolImportPointer, REGS) H(cuMemPoolSetAccess, REGS) H(cuMemPoolSetAttribute, REGS) \
H(cuMemPoolTrimTo, REGS) H(cuMemPrefetchAsync, REGS) H(cuMemPrefetchAsync_ptsz, REGS) \
H(cuMemPrefetchAsync_v2, REGS) H(cuMemPrefetchAsync_v2_ptsz, REGS) \
H(cuMemPrefetchBatchAsync, STACK) H(cuMemPrefetchBatchAsync_ptsz, STACK) \
H(cuMemRangeGetAttribute, REGS) H(cuMemRangeGetAttributes, REGS) H(cuMemRelease, REGS) \
H(cuMemRetainAllocationHandle, REGS) H(cuMemSetAccess, REGS) H(cuMemSetMemPool, REGS) \
H(cuMemUnmap, REGS) H(cuMemcpy, REGS) H(cuMemcpy2D, REGS) H(cuMemcpy2DAsync, REGS) \
H(cuMemcpy2DAsync_v2, REGS) H(cuMemcpy2DAsync_v2_ptsz, REGS) H(cuMemcpy2DUnaligned, REGS) \
H(cuMemcpy2DUnaligned_v2, REGS) H(cuMemcpy2DUnaligned_v2_ptds, REGS) H(cuMemcpy2D_v2, REGS) \
H(cuMemcpy2D_v2_ptds, REGS) H(cuMemcpy3D, REGS) H(cuMemcpy3DAsync, REGS) \
H(cuMemcpy3DAsync_v2, REGS) H(cuMemcpy3DAsync_v2_ptsz, REGS) H(cuMemcpy3DBatchAsync, REGS) \
H(cuMemcpy3DBatchAsync_ptsz, REGS) H(cuMemcpy3DBatchAsync_v2, REGS) \
H(cuMemcpy3DBatchAsync_v2_ptsz, REGS) H(cuMemcpy3DPeer, REGS) H(cuMemcpy3DPeerAsync, REGS) \
H(cuMemcpy3DPeerAsync_ptsz, REGS) H(cuMemcpy3DPeer_ptds, REGS) \
H(cuMemcpy3DWithAttributesAsync, REGS) H(cuMemcpy3DWithAttributesAsync_ptsz, REGS) \
H(cuMemcpy3D_v2, REGS) H(cuMemcpy3D_v2_ptds, REGS) H(cuMemcpyAsync, REGS) \
H(cuMemcpyAsync_ptsz, REGS) H(cuMemcpyAtoA, REGS) H(cuMemcpyAtoA_v2, REGS) \
H(cuMemcpyAtoA_v2_ptds, REGS) H(cuMemcpyAtoD, REGS) H(cuMemcpyAtoD_v2, REGS) \
H(cuMemcpyAtoD_v2_ptds, REGS) H(cuMemcpyAtoH, REGS) H(cuMemcpyAtoHAsync, REGS) \
H(cuMemcpyAtoHAsync_v2, REGS) H(cuMemcpyAtoHAsync_v2_ptsz, REGS) H(cuMemcpyAtoH_v2, REGS) \
H(cuMemcpyAtoH_v2_ptds, REGS) H(cuMemcpyBatchAsync, STACK) H(cuMemcpyBatchAsync_ptsz, STACK) \
H(cuMemcpyBatchAsync_v2, STACK) H(cuMemcpyBatchAsync_v2_ptsz, STACK) H(cuMemcpyDtoA, REGS) \
H(cuMemcpyDtoA_v2, REGS) H(cuMemcpyDtoA_v2_ptds, REGS) H(cuMemcpyDtoD, REGS) \
H(cuMemcpyDtoDAsync, REGS) H(cuMemcpyDtoDAsync_v2, REGS) H(cuMemcpyDtoDAsync_v2_ptsz, REGS) \
H(cuMemcpyDtoD_v2, REGS) H(cuMemcpyDtoD_v2_ptds, REGS) H(cuMemcpyDtoH, REGS) \
H(cuMemcpyDtoHAsync, REGS) H(cuMemcpyDtoHAsync_v2, REGS) H(cuMemcpyDtoHAsync_v2_ptsz, REGS) \
H(cuMemcpyDtoH_v2, REGS) H(cuMemcpyDtoH_v2_ptds, REGS) H(cuMemcpyHtoA, REGS) \
H(cuMemcpyHtoAAsync, REGS) H(cuMemcpyHtoAAsync_v2, REGS) H(cuMemcpyHtoAAsync_v2_ptsz, REGS) \
H(cuMemcpyHtoA_v2, REGS) H(cuMemcpyHtoA_v2_ptds, REGS) H(cuMemcpyHtoD, REGS) \
H(cuMemcpyHtoDAsync, REGS) H(cuMemcpyHtoDAsync_v2, REGS) H(cuMemcpyHtoDAsync_v2_ptsz, REGS) \
H(cuMemcpyHtoD_v2, REGS) H(cuMemcpyHtoD_v2_ptds, REGS) H(cuMemcpyPeer, REGS) \
H(cuMemcpyPeerAsync, REGS) H(cuMemcpyPeerAsync_ptsz, REGS) H(cuMemcpyPeer_ptds, REGS) \
H(cuMemcpyWithAttributesAsync, REGS) H(cuMemcpyWithAttributesAsync_ptsz, REGS) \
H(cuMemcpy_ptds, REGS) H(cuMemsetD16, REGS) H(cuMemsetD16Async, REGS) \
H(cuMemsetD16Async_ptsz, REGS) H(cuMemsetD16_v2, REGS) H(cuMemsetD16_v2_ptds, REGS) \
H(cuMemsetD2D16, REGS) H(cuMemsetD2D16Async, REGS) H(cuMemsetD2D16Async_ptsz, REGS) \
H(cuMemsetD2D16_v2, REGS) H(cuMemsetD2D16_v2_ptds, REGS) H(cuMemsetD2D32, REGS) \
H(cuMemsetD2D32Async, REGS) H(cuMemsetD2D32Async_ptsz, REGS) H(cuMemsetD2D32_v2, REGS) \
H(cuMemsetD2D32_v2_ptds, REGS) H(cuMemsetD2D8, REGS) H(cuMemsetD2D8Async, REGS) \
H(cuMemsetD2D8Async_ptsz, REGS) H(cuMemsetD2D8_v2, REGS) H(cuMemsetD2D8_v2_ptds, REGS) \
H(cuMemsetD32, REGS) H(cuMemsetD32Async, REGS) H(cuMemsetD32Async_ptsz, REGS) \
H(cuMemsetD32_v2, REGS) H(cuMemsetD32_v2_ptds, REGS) H(cuMemsetD8, REGS) \
H(cuMemsetD8Async, REGS) H(cuMemsetD8Async_ptsz, REGS) H(cuMemsetD8_v2, REGS) \
H(cuMemsetD8_v2_ptds, REGS) H(cuMipmappedArrayCreate, REGS) H(cuMipmappedArrayDestroy, REGS) \
H(cuMipmappedArrayGetLevel, REGS) H(cuMipmappedArrayGetMemoryRequirements, REGS) \
H(cuMipmappedArrayGetSparseProperties, REGS) H(cuMulticastAddDevice, REGS) \
H(cuMulticastBindAddr, REGS) H(cuMulticastBindAddr_v2, REGS) H(cuMulticastBindMem, REGS) \
H(cuMulticastBindMem_v2, STACK) H(cuMulticastCreate, REGS) H(cuMulticastGetGranularity, REGS) \
H(cuMulticastUnbind, REGS) H(cuPointerGetAttribute, REGS) H(cuPointerGetAttributes, REGS) \
H(cuPointerSetAttribute, REGS) H(cuSignalExternalSemaphoresAsync, REGS) \
H(cuSignalExternalSemaphoresAsync_ptsz, REGS) H(cuSurfObjectCreate, REGS) \
H(cuSurfObjectDestroy, REGS) H(cuSurfObjectGetResourceDesc, REGS) H(cuSurfRefGetArray, REGS) \
H(cuSurfRefSetArray, REGS) H(cuTexObjectCreate, REGS) H(cuTexObjectDestroy, REGS) \
H(cuTexObjectGetResourceDesc, REGS) H(cuTexObjectGetResourceViewDesc, REGS) \
H(cuTexObjectGetTextureDesc, REGS) H(cuTexRefCreate, REGS) H(cuTexRefDestroy, REGS) \
H(cuTexRefGetAddress, REGS) H(cuTexRefGetAddressMode, REGS) H(cuTexRefGetAddress_v2, REGS) \
H(cuTexRefGetArray, REGS) H(cuTexRefGetBorderColor, REGS) H(cuTexRefGetFilterMode, REGS) \
H(cuTexRefGetFlags, REGS) H(cuTexRefGetFormat, REGS) H(cuTexRefGetMaxAnisotropy, REGS) \
H(cuTexRefGetMipmapFilterMode, REGS) H(cuTexRefGetMipmapLevelBias, REGS) \
H(cuTexRefGetMipmapLevelClamp, REGS) H(cuTexRefGetMipmappedArray, REGS) \
H(cuTexRefSetAddress, REGS) H(cuTexRefSetAddress2D, REGS) H(cuTexRefSetAddress2D_v2, REGS) \
H(cuTexRefSetAddress2D_v3, REGS) H(cuTexRefSetAddressMode, REGS) H(cuTexRefSetAddress_v2, REGS) \
H(cuTexRefSetArray, REGS) H(cuTexRefSetBorderColor, REGS) H(cuTexRefSetFilterMode, REGS) \
H(cuTexRefSetFlags, REGS) H(cuTexRefSetFormat, REGS) H(cuTexRefSetMaxAnisotropy, REGS) \
H(cuTexRefSetMipmapFilterMode, REGS) H(cuTexRefSetMipmapLevelBias, REGS) \
H(cuTexRefSetMipmapLevelClamp, REGS) H(cuTexRefSetMipmappedArray, REGS) \
H(cuWaitExternalSemaphoresAsync, REGS) H(cuWaitExternalSemaphoresAsync_ptsz, REGS)

#define CCR_HOOKS_WORK(H) \
H(cuEventCreate, REGS) H(cuEventCreateFromEGLSync, REGS) H(cuEventDestroy, REGS) \
H(cuEventDestroy_v2, REGS) H(cuEventElapsedTime, REGS) H(cuEventElapsedTime_v2, REGS) \
H(cuEventQuery, REGS) H(cuEventRecord, REGS) H(cuEventRecordWithFlags, REGS) \
H(cuEventRecordWithFlags_ptsz, REGS) H(cuEventRecord_ptsz, REGS) H(cuEventSynchronize, REGS) \
H(cuGraphAddBatchMemOpNode, REGS) \
H(cuGraphAddChildGraphNode, REGS) H(cuGraphAddDependencies, REGS) \
H(cuGraphAddDependencies_v2, REGS) H(cuGraphAddEmptyNode, REGS) \
H(cuGraphAddEventRecordNode, REGS) H(cuGraphAddEventWaitNode, REGS) \
H(cuGraphAddExternalSemaphoresSignalNode, REGS) H(cuGraphAddExternalSemaphoresWaitNode, REGS) \
H(cuGraphAddHostNode, REGS) H(cuGraphAddKernelNode, REGS) H(cuGraphAddKernelNode_v2, REGS) \
H(cuGraphAddMemAllocNode, REGS) H(cuGraphAddMemFreeNode, REGS) H(cuGraphAddMemcpyNode, REGS) \
H(cuGraphAddMemsetNode, REGS) H(cuGraphAddNode, REGS) H(cuGraphAddNode_v2, REGS) \
H(cuGraphAddNode_v3, REGS) H(cuGraphBatchMemOpNodeGetParams, REGS) \
H(cuGraphBatchMemOpNodeSetParams, REGS) H(cuGraphChildGraphNodeGetGraph, REGS) \
H(cuGraphClone, REGS) H(cuGraphConditionalHandleCreate, REGS) H(cuGraphCreate, REGS) \
H(cuGraphDebugDotPrint, REGS) H(cuGraphDestroy, REGS) H(cuGraphDestroyNode, REGS) \
H(cuGraphEventRecordNodeGetEvent, REGS) H(cuGraphEventRecordNodeSetEvent, REGS) \
H(cuGraphEventWaitNodeGetEvent, REGS) H(cuGraphEventWaitNodeSetEvent, REGS) \
H(cuGraphExecBatchMemOpNodeSetParams, REGS) H(cuGraphExecChildGraphNodeSetParams, REGS) \
H(cuGraphExecDestroy, REGS) H(cuGraphExecEventRecordNodeSetEvent, REGS) \
H(cuGraphExecEventWaitNodeSetEvent, REGS) \
H(cuGraphExecExternalSemaphoresSignalNodeSetParams, REGS) \
H(cuGraphExecExternalSemaphoresWaitNodeSetParams, REGS) H(cuGraphExecGetFlags, REGS) \
H(cuGraphExecGetId, REGS) H(cuGraphExecHostNodeSetParams, REGS) \
H(cuGraphExecKernelNodeSetParams, REGS) H(cuGraphExecKernelNodeSetParams_v2, REGS) \
H(cuGraphExecMemcpyNodeSetParams, REGS) H(cuGraphExecMemsetNodeSetParams, REGS) \
H(cuGraphExecNodeSetParams, REGS) H(cuGraphExecUpdate, REGS) H(cuGraphExecUpdate_v2, REGS) \
H(cuGraphExternalSemaphoresSignalNodeGetParams, REGS) \
H(cuGraphExternalSemaphoresSignalNodeSetParams, REGS) \
H(cuGraphExternalSemaphoresWaitNodeGetParams, REGS) \
H(cuGraphExternalSemaphoresWaitNodeSetParams, REGS) H(cuGraphGetEdges, REGS) \
H(cuGraphGetEdges_v2, REGS) H(cuGraphGetId, REGS) H(cuGraphGetNodes, REGS) \
H(cuGraphGetRootNodes, REGS) H(cuGraphHostNodeGetParams, REGS) H(cuGraphHostNodeSetParams, REGS) \
H(cuGraphInstantiate, REGS) H(cuGraphInstantiateWithFlags, REGS) \
H(cuGraphInstantiateWithParams, REGS) H(cuGraphInstantiateWithParams_ptsz, REGS) \
H(cuGraphInstantiate_v2, REGS) H(cuGraphKernelNodeCopyAttributes, REGS) \
H(cuGraphKernelNodeGetAttribute, REGS) H(cuGraphKernelNodeGetParams, REGS) \
H(cuGraphKernelNodeGetParams_v2, REGS) H(cuGraphKernelNodeSetAttribute, REGS) \
H(cuGraphKernelNodeSetParams, REGS) H(cuGraphKernelNodeSetParams_v2, REGS) \
H(cuGraphLaunch, REGS) H(cuGraphLaunch_ptsz, REGS) H(cuGraphMemAllocNodeGetParams, REGS) \
H(cuGraphMemFreeNodeGetParams, REGS) H(cuGraphMemcpyNodeGetParams, REGS) \
H(cuGraphMemcpyNodeSetParams, REGS) H(cuGraphMemsetNodeGetParams, REGS) \
H(cuGraphMemsetNodeSetParams, REGS) H(cuGraphNodeFindInClone, REGS) \
H(cuGraphNodeGetContainingGraph, REGS) H(cuGraphNodeGetDependencies, REGS) \
H(cuGraphNodeGetDependencies_v2, REGS) H(cuGraphNodeGetDependentNodes, REGS) \
H(cuGraphNodeGetDependentNodes_v2, REGS) H(cuGraphNodeGetEnabled, REGS) \
H(cuGraphNodeGetLocalId, REGS) H(cuGraphNodeGetParams, REGS) H(cuGraphNodeGetToolsId, REGS) \
H(cuGraphNodeGetType, REGS) H(cuGraphNodeSetEnabled, REGS) H(cuGraphNodeSetParams, REGS) \
H(cuGraphNodeSetParams_v2, REGS) H(cuGraphReleaseUserObject, REGS) \
H(cuGraphRemoveDependencies, REGS) H(cuGraphRemoveDependencies_v2, REGS) \
H(cuGraphRetainUserObject, REGS) H(cuGraphUpload, REGS) H(cuGraphUpload_ptsz, REGS) \
H(cuStreamAddCallback, REGS) H(cuStreamAddCallback_ptsz, REGS) H(cuStreamAttachMemAsync, REGS) \
H(cuStreamAttachMemAsync_ptsz, REGS) H(cuStreamBatchMemOp, REGS) \
H(cuStreamBatchMemOp_ptsz, REGS) H(cuStreamBatchMemOp_v2, REGS) \
H(cuStreamBatchMemOp_v2_ptsz, REGS) H(cuStreamBeginCapture, REGS) \
H(cuStreamBeginCaptureToCig, REGS) H(cuStreamBeginCaptureToCig_ptsz, REGS) \
H(cuStreamBeginCaptureToGraph, REGS) H(cuStreamBeginCaptureToGraph_ptsz, REGS) \
H(cuStreamBeginCapture_ptsz, REGS) H(cuStreamBeginCapture_v2, REGS) \
H(cuStreamBeginCapture_v2_ptsz, REGS) H(cuStreamBeginRecaptureToGraph, REGS) \
H(cuStreamBeginRecaptureToGraph_ptsz, REGS) H(cuStreamCopyAttributes, REGS) \
H(cuStreamCopyAttributes_ptsz, REGS) H(cuStreamCreate, REGS) H(cuStreamCreateWithPriority, REGS) \
H(cuStreamDestroy, REGS) H(cuStreamDestroy_v2, REGS) H(cuStreamEndCapture, REGS) \
H(cuStreamEndCaptureToCig, REGS) H(cuStreamEndCaptureToCig_ptsz, REGS) \
H(cuStreamEndCapture_ptsz, REGS) H(cuStreamGetAttribute, REGS) \
H(cuStreamGetAttribute_ptsz, REGS) H(cuStreamGetCaptureInfo, REGS) \
H(cuStreamGetCaptureInfo_ptsz, REGS) H(cuStreamGetCaptureInfo_v2, REGS) \
H(cuStreamGetCaptureInfo_v2_ptsz, REGS) H(cuStreamGetCaptureInfo_v3, STACK) \
H(cuStreamGetCaptureInfo_v3_ptsz, STACK) H(cuStreamGetCtx, REGS) H(cuStreamGetCtx_ptsz, REGS) \
H(cuStreamGetCtx_v2, REGS) H(cuStreamGetCtx_v2_ptsz, REGS) H(cuStreamGetDevResource, REGS) \
H(cuStreamGetDevResource_ptsz, REGS) H(cuStreamGetDevice, REGS) H(cuStreamGetDevice_ptsz, REGS) \
H(cuStreamGetFlags, REGS) H(cuStreamGetFlags_ptsz, REGS) H(cuStreamGetGreenCtx, REGS) \
H(cuStreamGetId, REGS) H(cuStreamGetId_ptsz, REGS) H(cuStreamGetPriority, REGS) \
H(cuStreamGetPriority_ptsz, REGS) H(cuStreamIsCapturing, REGS) H(cuStreamIsCapturing_ptsz, REGS) \
H(cuStreamQuery, REGS) H(cuStreamQuery_ptsz, REGS) H(cuStreamSetAttribute, REGS) \
H(cuStreamSetAttribute_ptsz, REGS) H(cuStreamSynchronize, REGS) \
H(cuStreamSynchronize_ptsz, REGS) H(cuStreamUpdateCaptureDependencies, REGS) \
H(cuStreamUpdateCaptureDependencies_ptsz, REGS) H(cuStreamUpdateCaptureDependencies_v2, REGS) \
H(cuStreamUpdateCaptureDependencies_v2_ptsz, REGS) H(cuStreamWaitEvent, REGS) \
H(cuStreamWaitEvent_ptsz, REGS) H(cuStreamWaitValue32, REGS) H(cuStreamWaitValue32_ptsz, REGS) \
H(cuStreamWaitValue32_v2, REGS) H(cuStreamWaitValue32_v2_ptsz, REGS) \
H(cuStreamWaitValue64, REGS) H(cuStreamWaitValue64_ptsz, REGS) H(cuStreamWaitValue64_v2, REGS) \
H(cuStreamWaitValue64_v2_ptsz, REGS) H(cuStreamWriteValue32, REGS) \
H(cuStreamWriteValue32_ptsz, REGS) H(cuStreamWriteValue32_v2, REGS) \
H(cuStreamWriteValue32_v2_ptsz, REGS) H(cuStreamWriteValue64, REGS) \
H(cuStreamWriteValue64_ptsz, REGS) H(cuStreamWriteValue64_v2, REGS) \
H(cuStreamWriteValue64_v2_ptsz, REGS) H(cuUserObjectCreate, REGS) H(cuUserObjectRelease, REGS) \
H(cuUserObjectRetain, REGS)

#define CCR_HOOKS_GRAPHICS(H) \
H(cuEGLStreamConsumerAcquireFrame, REGS) H(cuEGLStreamConsumerConnect, REGS) \
H(cuEGLStreamConsumerConnectWithFlags, REGS) H(cuEGLStreamConsumerDisconnect, REGS) \
H(cuEGLStreamConsumerReleaseFrame, REGS) H(cuEGLStreamProducerConnect, REGS) \
H(cuEGLStreamProducerDisconnect, REGS) H(cuEGLStreamProducerPresentFrame, REGS) \
H(cuEGLStreamProducerReturnFrame, REGS) H(cuGLCtxCreate, REGS) H(cuGLCtxCreate_v2, REGS) \
H(cuGLGetDevices, REGS) H(cuGLGetDevices_v2, REGS) H(cuGLInit, REGS) \
H(cuGLMapBufferObject, REGS) H(cuGLMapBufferObjectAsync, REGS) \
H(cuGLMapBufferObjectAsync_v2, REGS) H(cuGLMapBufferObjectAsync_v2_ptsz, REGS) \
H(cuGLMapBufferObject_v2, REGS) H(cuGLRegisterBufferObject, REGS) \
H(cuGLSetBufferObjectMapFlags, REGS) H(cuGLUnmapBufferObject, REGS) \
H(cuGLUnmapBufferObjectAsync, REGS) H(cuGLUnregisterBufferObject, REGS) \
H(cuGraphicsEGLRegisterImage, REGS) H(cuGraphicsGLRegisterBuffer, REGS) \
H(cuGraphicsGLRegisterImage, REGS) H(cuGraphicsMapResources, REGS) \
H(cuGraphicsMapResources_ptsz, REGS) H(cuGraphicsResourceGetMappedEglFrame, REGS) \
H(cuGraphicsResourceGetMappedMipmappedArray, REGS) H(cuGraphicsResourceGetMappedPointer, REGS) \
H(cuGraphicsResourceGetMappedPointer_v2, REGS) H(cuGraphicsResourceSetMapFlags, REGS) \
H(cuGraphicsResourceSetMapFlags_v2, REGS) H(cuGraphicsSubResourceGetMappedArray, REGS) \
H(cuGraphicsUnmapResources, REGS) H(cuGraphicsUnmapResources_ptsz, REGS) \
H(cuGraphicsUnregisterResource, REGS) H(cuGraphicsVDPAURegisterOutputSurface, REGS) \
H(cuGraphicsVDPAURegisterVideoSurface, REGS) H(cuVDPAUCtxCreate, REGS) \
H(cuVDPAUCtxCreate_v2, REGS) H(cuVDPAUGetDevice, REGS) H(cuWGLGetDevice, REGS)

// clang-format on

#define CCR_HOOKS(H)      \
	CCR_HOOKS_INIT(H) \
	CCR_HOOKS_DEVICE(H) CCR_HOOKS_MEMORY(H) CCR_HOOKS_WORK(H) CCR_HOOKS_GRAPHICS(H)

#endif
