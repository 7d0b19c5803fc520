// SPDX-License-Identifier: MIT
// Calls that we change: the stub calls ccr__wrap_<symbol>, which calls the driver.
// W(symbol, base, since): `base` is its name for cuGetProcAddress, `since` the CUDA version whose
// ABI the symbol is (a later version of a call has another ABI and is then only gated).
#ifndef CCR_INTERCEPT_WRAP_LIST_H
#define CCR_INTERCEPT_WRAP_LIST_H

// clang-format off
#define CCR_WRAPPERS(W) CCR_WRAPPERS_ALWAYS(W) CCR_WRAPPERS_MEMORY(W) CCR_WRAPPERS_COPY(W)

#define CCR_WRAPPERS_ALWAYS(W) \
W(cuInit, cuInit, 2000) \
W(cuGetProcAddress, cuGetProcAddress, 11030) W(cuGetProcAddress_v2, cuGetProcAddress, 12000) \
W(cuCtxCreate, cuCtxCreate, 2000) W(cuCtxCreate_v2, cuCtxCreate, 3020) \
W(cuCtxCreate_v3, cuCtxCreate, 11040) W(cuCtxCreate_v4, cuCtxCreate, 12050) \
W(cuCtxDestroy, cuCtxDestroy, 2000) W(cuCtxDestroy_v2, cuCtxDestroy, 4000) \
W(cuDevicePrimaryCtxRetain, cuDevicePrimaryCtxRetain, 7000) \
W(cuDevicePrimaryCtxRelease, cuDevicePrimaryCtxRelease, 7000) \
W(cuDevicePrimaryCtxRelease_v2, cuDevicePrimaryCtxRelease, 11000) \
W(cuDevicePrimaryCtxReset, cuDevicePrimaryCtxReset, 7000) \
W(cuDevicePrimaryCtxReset_v2, cuDevicePrimaryCtxReset, 11000) \
W(cuStreamBeginCapture, cuStreamBeginCapture, 10000) \
W(cuStreamBeginCapture_ptsz, cuStreamBeginCapture, 10000) \
W(cuStreamBeginCapture_v2, cuStreamBeginCapture, 10010) \
W(cuStreamBeginCapture_v2_ptsz, cuStreamBeginCapture, 10010) \
W(cuStreamBeginCaptureToGraph, cuStreamBeginCaptureToGraph, 12030) \
W(cuStreamBeginCaptureToGraph_ptsz, cuStreamBeginCaptureToGraph, 12030) \
W(cuStreamBeginRecaptureToGraph, cuStreamBeginRecaptureToGraph, 13030) \
W(cuStreamBeginRecaptureToGraph_ptsz, cuStreamBeginRecaptureToGraph, 13030) \
W(cuStreamBeginCaptureToCig, cuStreamBeginCaptureToCig, 13020) \
W(cuStreamBeginCaptureToCig_ptsz, cuStreamBeginCaptureToCig, 13020) \
W(cuStreamEndCapture, cuStreamEndCapture, 10000) \
W(cuStreamEndCapture_ptsz, cuStreamEndCapture, 10000) \
W(cuStreamEndCaptureToCig, cuStreamEndCaptureToCig, 13020) \
W(cuStreamEndCaptureToCig_ptsz, cuStreamEndCaptureToCig, 13020) \
W(cuStreamDestroy, cuStreamDestroy, 2000) W(cuStreamDestroy_v2, cuStreamDestroy, 4000) \
W(cuMemHostRegister, cuMemHostRegister, 4000) W(cuMemHostRegister_v2, cuMemHostRegister, 6050) \
W(cuMemFree_v2, cuMemFree, 3020) W(cuMemRelease, cuMemRelease, 10020) \
W(cuMemMap, cuMemMap, 10020) W(cuMemUnmap, cuMemUnmap, 10020) \
W(cuMemRetainAllocationHandle, cuMemRetainAllocationHandle, 11000) \
W(cuMemExportToShareableHandle, cuMemExportToShareableHandle, 10020) \
W(cuMemImportFromShareableHandle, cuMemImportFromShareableHandle, 10020) \
W(cuIpcGetMemHandle, cuIpcGetMemHandle, 4010) \
W(cuIpcOpenMemHandle, cuIpcOpenMemHandle, 4010) \
W(cuIpcOpenMemHandle_v2, cuIpcOpenMemHandle, 11000) \
W(cuIpcCloseMemHandle, cuIpcCloseMemHandle, 4010) \
W(cuIpcGetEventHandle, cuIpcGetEventHandle, 4010) \
W(cuIpcOpenEventHandle, cuIpcOpenEventHandle, 4010) \
W(cuEventDestroy, cuEventDestroy, 2000) W(cuEventDestroy_v2, cuEventDestroy, 4000) \
W(cuMulticastCreate, cuMulticastCreate, 12010) \
W(cuMemPoolImportFromShareableHandle, cuMemPoolImportFromShareableHandle, 11020) \
W(cuMemPoolDestroy, cuMemPoolDestroy, 11020) \
W(cuImportExternalMemory, cuImportExternalMemory, 10000) \
W(cuDestroyExternalMemory, cuDestroyExternalMemory, 10000) \
W(cuLogicalEndpointImport, cuLogicalEndpointImport, 13030) \
W(cuLogicalEndpointDestroy, cuLogicalEndpointDestroy, 13030)

#define CCR_WRAPPERS_MEMORY(W) CCR_WRAPPERS_EVENT(W) \
W(cuCtxEnablePeerAccess, cuCtxEnablePeerAccess, 4000) \
W(cuCtxDisablePeerAccess, cuCtxDisablePeerAccess, 4000) \
W(cuMemAlloc_v2, cuMemAlloc, 3020) W(cuMemAllocPitch_v2, cuMemAllocPitch, 3020) \
W(cuMemFreeAsync, cuMemFreeAsync, 11020) W(cuMemFreeAsync_ptsz, cuMemFreeAsync, 11020) \
W(cuMemGetAddressRange_v2, cuMemGetAddressRange, 3020) \
W(cuPointerGetAttribute, cuPointerGetAttribute, 4000) \
W(cuPointerGetAttributes, cuPointerGetAttributes, 7000) \
W(cuMemGetHandleForAddressRange, cuMemGetHandleForAddressRange, 11070) \
W(cuMemCreate, cuMemCreate, 10020) \
W(cuMemSetAccess, cuMemSetAccess, 10020) \
W(cuMemGetAllocationPropertiesFromHandle, cuMemGetAllocationPropertiesFromHandle, 10020) \
W(cuMulticastBindMem, cuMulticastBindMem, 12010) \
W(cuMulticastBindMem_v2, cuMulticastBindMem, 13010) \
W(cuMulticastBindAddr, cuMulticastBindAddr, 12010) \
W(cuMulticastBindAddr_v2, cuMulticastBindAddr, 13010) \
W(cuLogicalEndpointBindMem, cuLogicalEndpointBindMem, 13030) \
W(cuLogicalEndpointBindAddr, cuLogicalEndpointBindAddr, 13030)

#define CCR_WRAPPERS_EVENT(W) \
W(cuEventCreate, cuEventCreate, 2000) \
W(cuEventRecord, cuEventRecord, 2000) W(cuEventRecord_ptsz, cuEventRecord, 7000) \
W(cuEventRecordWithFlags, cuEventRecordWithFlags, 11010) \
W(cuEventRecordWithFlags_ptsz, cuEventRecordWithFlags, 11010) \
W(cuEventQuery, cuEventQuery, 2000) W(cuEventSynchronize, cuEventSynchronize, 2000) \
W(cuStreamWaitEvent, cuStreamWaitEvent, 3020) \
W(cuStreamWaitEvent_ptsz, cuStreamWaitEvent, 7000) \
W(cuGraphAddEventRecordNode, cuGraphAddEventRecordNode, 11010) \
W(cuGraphAddEventWaitNode, cuGraphAddEventWaitNode, 11010) \
W(cuGraphEventRecordNodeSetEvent, cuGraphEventRecordNodeSetEvent, 11010) \
W(cuGraphEventWaitNodeSetEvent, cuGraphEventWaitNodeSetEvent, 11010) \
W(cuGraphExecEventRecordNodeSetEvent, cuGraphExecEventRecordNodeSetEvent, 11010) \
W(cuGraphExecEventWaitNodeSetEvent, cuGraphExecEventWaitNodeSetEvent, 11010) \
W(cuGraphAddNode, cuGraphAddNode, 12020) W(cuGraphAddNode_v2, cuGraphAddNode, 12030) \
W(cuGraphAddNode_v3, cuGraphAddNode, 13040) \
W(cuGraphNodeSetParams, cuGraphNodeSetParams, 12020) \
W(cuGraphNodeSetParams_v2, cuGraphNodeSetParams, 13040) \
W(cuGraphExecNodeSetParams, cuGraphExecNodeSetParams, 12020)

#define CCR_WRAPPERS_COPY(W) \
W(cuMemcpy, cuMemcpy, 4000) W(cuMemcpy_ptds, cuMemcpy, 7000) \
W(cuMemcpyAsync, cuMemcpyAsync, 4000) W(cuMemcpyAsync_ptsz, cuMemcpyAsync, 7000) \
W(cuMemcpyHtoD_v2, cuMemcpyHtoD, 3020) W(cuMemcpyHtoD_v2_ptds, cuMemcpyHtoD, 7000) \
W(cuMemcpyDtoH_v2, cuMemcpyDtoH, 3020) W(cuMemcpyDtoH_v2_ptds, cuMemcpyDtoH, 7000) \
W(cuMemcpyHtoDAsync_v2, cuMemcpyHtoDAsync, 3020) \
W(cuMemcpyHtoDAsync_v2_ptsz, cuMemcpyHtoDAsync, 7000) \
W(cuMemcpyDtoHAsync_v2, cuMemcpyDtoHAsync, 3020) \
W(cuMemcpyDtoHAsync_v2_ptsz, cuMemcpyDtoHAsync, 7000)
// clang-format on

#endif
