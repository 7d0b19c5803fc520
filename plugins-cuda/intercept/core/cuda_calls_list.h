// SPDX-License-Identifier: MIT
// Written by scripts/cuda-calls.mjs from cuda.h of CUDA
// 12.8, 12.9, 13.0, 13.1, 13.2, 13.3, 13.4, 13.5.
// Calls that the interceptor must know one by one: C(symbol, kind, argument, since). HANDLE takes
// an allocation handle as that argument, GIVES returns one there, RANGE shares the memory at that
// address, IMPORT takes memory of others, CAPTURE begins or ends a capture. `since` is the first
// version with the call; 12080 is 12.8 or earlier.
#ifndef CCR_INTERCEPT_CUDA_CALLS_LIST_H
#define CCR_INTERCEPT_CUDA_CALLS_LIST_H

// clang-format off
#define CCR_CUDA_CALLS(C) \
C(cuImportExternalMemory, IMPORT, 1, 12080) \
C(cuIpcGetMemHandle, RANGE, 2, 12080) \
C(cuIpcOpenMemHandle, IMPORT, 1, 12080) \
C(cuIpcOpenMemHandle_v2, IMPORT, 1, 12080) \
C(cuLogicalEndpointBindAddr, RANGE, 4, 13030) \
C(cuLogicalEndpointBindMem, HANDLE, 4, 13030) \
C(cuLogicalEndpointImport, IMPORT, 1, 13030) \
C(cuMemCreate, GIVES, 1, 12080) \
C(cuMemExportToShareableHandle, HANDLE, 2, 12080) \
C(cuMemGetAllocationPropertiesFromHandle, HANDLE, 2, 12080) \
C(cuMemGetHandleForAddressRange, RANGE, 2, 12080) \
C(cuMemImportFromShareableHandle, GIVES, 1, 12080) \
C(cuMemImportFromShareableHandle, IMPORT, 1, 12080) \
C(cuMemMap, HANDLE, 4, 12080) \
C(cuMemPoolExportPointer, RANGE, 2, 12080) \
C(cuMemPoolImportFromShareableHandle, IMPORT, 1, 12080) \
C(cuMemRelease, HANDLE, 1, 12080) \
C(cuMemRetainAllocationHandle, GIVES, 1, 12080) \
C(cuMulticastAddDevice, HANDLE, 1, 12080) \
C(cuMulticastBindAddr, HANDLE, 1, 12080) \
C(cuMulticastBindAddr, RANGE, 3, 12080) \
C(cuMulticastBindAddr_v2, HANDLE, 1, 13010) \
C(cuMulticastBindAddr_v2, RANGE, 4, 13010) \
C(cuMulticastBindMem, HANDLE, 1, 12080) \
C(cuMulticastBindMem, HANDLE, 3, 12080) \
C(cuMulticastBindMem_v2, HANDLE, 1, 13010) \
C(cuMulticastBindMem_v2, HANDLE, 4, 13010) \
C(cuMulticastCreate, GIVES, 1, 12080) \
C(cuMulticastUnbind, HANDLE, 1, 12080) \
C(cuStreamBeginCapture, CAPTURE, 1, 12080) \
C(cuStreamBeginCaptureToCig, CAPTURE, 1, 13020) \
C(cuStreamBeginCaptureToCig_ptsz, CAPTURE, 1, 13020) \
C(cuStreamBeginCaptureToGraph, CAPTURE, 1, 12080) \
C(cuStreamBeginCaptureToGraph_ptsz, CAPTURE, 1, 12080) \
C(cuStreamBeginCapture_ptsz, CAPTURE, 1, 12080) \
C(cuStreamBeginCapture_v2, CAPTURE, 1, 12080) \
C(cuStreamBeginCapture_v2_ptsz, CAPTURE, 1, 12080) \
C(cuStreamBeginRecaptureToGraph, CAPTURE, 1, 13030) \
C(cuStreamBeginRecaptureToGraph_ptsz, CAPTURE, 1, 13030) \
C(cuStreamEndCapture, CAPTURE, 1, 12080) \
C(cuStreamEndCaptureToCig, CAPTURE, 1, 13020) \
C(cuStreamEndCaptureToCig_ptsz, CAPTURE, 1, 13020) \
C(cuStreamEndCapture_ptsz, CAPTURE, 1, 12080)
// clang-format on

#endif
