// SPDX-License-Identifier: MIT
// Kernel launch: the call copies the parameters, and the kernel runs in its stream.
#include "softcuda/impl.h"

#include <stdlib.h>
#include <string.h>

#define MAX_THREADS 1024u

static CUresult run_launch(struct ccr_op *op)
{
	CUresult result;

	ccr_use_begin();
	result = op->launch.kernel->run(op->launch.params, op->stream->ctx->device,
					&op->launch.dims);
	ccr_use_end();
	return result;
}

static bool dims_are_valid(const struct ccr_dims *dims)
{
	uint64_t threads = 1;

	for (int i = 0; i < 3; i++) {
		if (!dims->grid[i] || !dims->block[i] || dims->block[i] > MAX_THREADS)
			return false;
		threads *= dims->block[i];
	}
	return threads <= MAX_THREADS && dims->grid[0] <= 0x7fffffff && dims->grid[1] <= 65535 &&
	       dims->grid[2] <= 65535 && dims->shared_bytes <= 49152;
}

// `extra` has all parameters in one buffer. Those of our kernels are 64-bit.
static CUresult params_from_extra(uint64_t *params, unsigned int count, void **extra)
{
	const void *buffer = NULL;
	size_t bytes = 0;

	for (; *extra != CU_LAUNCH_PARAM_END; extra += 2) {
		if (extra[0] == CU_LAUNCH_PARAM_BUFFER_POINTER)
			buffer = extra[1];
		else if (extra[0] == CU_LAUNCH_PARAM_BUFFER_SIZE)
			bytes = *(size_t *)extra[1];
		else
			return CUDA_ERROR_INVALID_VALUE;
	}
	if (!buffer || bytes != count * sizeof(*params))
		return CUDA_ERROR_INVALID_VALUE;
	memcpy(params, buffer, bytes);
	return CUDA_SUCCESS;
}

static CUresult take_params(uint64_t *to, const struct ccr_kernel *kernel, void **params,
			    void **extra)
{
	if (!kernel->nr_params)
		return CUDA_SUCCESS;
	if (!params == !extra)
		return CUDA_ERROR_INVALID_VALUE;
	if (extra)
		return params_from_extra(to, kernel->nr_params, extra);
	for (unsigned int i = 0; i < kernel->nr_params; i++)
		memcpy(&to[i], params[i], sizeof(to[i]));
	return CUDA_SUCCESS;
}

static CUresult launch(CUfunction function, const struct ccr_dims *dims, CUstream handle,
		       void **params, void **extra)
{
	const struct ccr_kernel *kernel;
	struct ccr_stream *stream;
	struct ccr_ctx *ctx = NULL;
	CUresult result = ccr_stream_of(handle, &stream);
	struct ccr_op *op;

	if (result != CUDA_SUCCESS)
		return result;
	kernel = ccr_function_kernel(function, &ctx);
	if (!kernel || ctx != stream->ctx)
		return CUDA_ERROR_INVALID_HANDLE;
	if (!dims_are_valid(dims))
		return CUDA_ERROR_INVALID_VALUE;
	op = ccr_op_new(stream, run_launch);
	if (!op)
		return CUDA_ERROR_OUT_OF_MEMORY;
	op->launch.kernel = kernel;
	op->launch.dims = *dims;
	result = take_params(op->launch.params, kernel, params, extra);
	if (result != CUDA_SUCCESS) {
		free(op);
		return result;
	}
	return ccr_queue_submit(op, false);
}

CUresult SOFT(cuLaunchKernel)(CUfunction f, unsigned int grid_x, unsigned int grid_y,
			      unsigned int grid_z, unsigned int block_x, unsigned int block_y,
			      unsigned int block_z, unsigned int shared_bytes, CUstream stream,
			      void **params, void **extra)
{
	struct ccr_dims dims = {
		{grid_x, grid_y, grid_z}, {block_x, block_y, block_z}, shared_bytes};

	return launch(f, &dims, stream, params, extra);
}

CUresult SOFT(cuLaunchKernelEx)(const CUlaunchConfig *config, CUfunction f, void **params,
				void **extra)
{
	struct ccr_dims dims;

	if (!config || (config->numAttrs && !config->attrs))
		return CUDA_ERROR_INVALID_VALUE;
	for (unsigned int i = 0; i < config->numAttrs; i++) {
		const CUlaunchAttribute *attr = &config->attrs[i];

		if (attr->id == CU_LAUNCH_ATTRIBUTE_IGNORE ||
		    attr->id == CU_LAUNCH_ATTRIBUTE_PRIORITY ||
		    (attr->id == CU_LAUNCH_ATTRIBUTE_COOPERATIVE && !attr->value.cooperative))
			continue;
		return CUDA_ERROR_NOT_SUPPORTED;
	}
	dims = (struct ccr_dims){{config->gridDimX, config->gridDimY, config->gridDimZ},
				 {config->blockDimX, config->blockDimY, config->blockDimZ},
				 config->sharedMemBytes};
	return launch(f, &dims, config->hStream, params, extra);
}

CUresult SOFT(cuFuncGetAttribute)(int *value, CUfunction_attribute attribute, CUfunction function)
{
	struct ccr_ctx *ctx;

	if (!value || (int)attribute < 0 || (int)attribute > 15)
		return CUDA_ERROR_INVALID_VALUE;
	if (!ccr_function_kernel(function, &ctx))
		return CUDA_ERROR_INVALID_HANDLE;
	switch (attribute) {
	case CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK:
		*value = (int)MAX_THREADS;
		break;
	case CU_FUNC_ATTRIBUTE_NUM_REGS:
		*value = 32;
		break;
	case CU_FUNC_ATTRIBUTE_PTX_VERSION:
	case CU_FUNC_ATTRIBUTE_BINARY_VERSION:
		*value = 90;
		break;
	case CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES:
		*value = 49152;
		break;
	default:
		*value = 0;
	}
	return CUDA_SUCCESS;
}

CUresult SOFT(cuFuncSetAttribute)(CUfunction function, CUfunction_attribute attribute, int value)
{
	struct ccr_ctx *ctx;

	if (!ccr_function_kernel(function, &ctx))
		return CUDA_ERROR_INVALID_HANDLE;
	return CUDA_ERROR_NOT_SUPPORTED;
}
