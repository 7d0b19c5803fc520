// SPDX-License-Identifier: MIT
/* The driver's side of a page of events: registered memory, which streams of all contexts may use.
 */
#include "intercept/records/event_page.h"

CUresult ccr__event_page_register(struct ccr__event_page *page, CUcontext ctx)
{
	CUstreamCaptureMode mode = CU_STREAM_CAPTURE_MODE_RELAXED;
	CUresult result;
	CUcontext popped;
	CUdeviceptr device;

	if (page->registered)
		return CUDA_SUCCESS;
	if (!ccr__real.cuStreamWriteValue64_v2 || !ccr__real.cuStreamWaitValue64_v2)
		return CUDA_ERROR_NOT_SUPPORTED;
	result = ccr__real.cuCtxPushCurrent_v2(ctx);
	if (result != CUDA_SUCCESS)
		return result;
	if (ccr__real.cuThreadExchangeStreamCaptureMode)
		ccr__real.cuThreadExchangeStreamCaptureMode(&mode);
	result = ccr__real.cuMemHostRegister_v2(page->slots, CCR__EVENT_PAGE_BYTES,
						CU_MEMHOSTREGISTER_PORTABLE |
							CU_MEMHOSTREGISTER_DEVICEMAP);
	if (result == CUDA_SUCCESS) {
		result = ccr__real.cuMemHostGetDevicePointer_v2(&device, page->slots, 0);
		if (result == CUDA_SUCCESS && device != (uintptr_t)page->slots)
			result = CUDA_ERROR_NOT_SUPPORTED;
		if (result != CUDA_SUCCESS)
			ccr__real.cuMemHostUnregister(page->slots);
	}
	if (ccr__real.cuThreadExchangeStreamCaptureMode)
		ccr__real.cuThreadExchangeStreamCaptureMode(&mode);
	ccr__real.cuCtxPopCurrent_v2(&popped);
	if (result == CUDA_SUCCESS) {
		page->ctx = ctx;
		__atomic_store_n(&page->registered, ctx, __ATOMIC_RELEASE);
	}
	return result;
}

void ccr__event_page_register_again(struct ccr__event_page *page)
{
	const CUresult result =
		page->ctx ? ccr__event_page_register(page, page->ctx) : CUDA_SUCCESS;

	if (result != CUDA_SUCCESS)
		ccr_warn("cannot register the page of shared events: %s",
			 ccr_cuda_error_name(result));
}

CUresult ccr__event_page_unregister(struct ccr__event_page *page)
{
	CUresult result = CUDA_SUCCESS;
	CUcontext popped;

	/* A context that is gone has taken the registration with it. */
	if (page->registered && ccr__real.cuCtxPushCurrent_v2(page->registered) == CUDA_SUCCESS) {
		result = ccr__real.cuMemHostUnregister(page->slots);
		ccr__real.cuCtxPopCurrent_v2(&popped);
	}
	if (result == CUDA_SUCCESS)
		__atomic_store_n(&page->registered, NULL, __ATOMIC_RELEASE);
	return result;
}

void ccr__event_pages_drop_context(CUcontext ctx)
{
	for (struct ccr__event_page *page = ccr__event_pages; page; page = page->next) {
		if (page->registered == ctx)
			__atomic_store_n(&page->registered, NULL, __ATOMIC_RELEASE);
		if (page->ctx == ctx)
			page->ctx = NULL;
	}
}
