// SPDX-License-Identifier: MIT
// Modules keep their PTX text. Functions are looked up by name among the kernels of this driver.
#include "softcuda/impl.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct function {
	uint64_t handle;
	struct ccr_module *module;
	const struct ccr_kernel *kernel;
	struct function *next;
};

struct ccr_module {
	uint64_t handle;
	struct ccr_ctx *ctx;
	char *text;
	struct function *functions;
	struct ccr_module *next;
};

static struct {
	pthread_mutex_t lock;
	struct ccr_module *head;
} modules = {.lock = PTHREAD_MUTEX_INITIALIZER};

static CUresult load_text(CUmodule *out, char *text, struct ccr_ctx *ctx)
{
	struct ccr_module *module = calloc(1, sizeof(*module));

	if (module)
		module->handle = ccr_handle_new(CCR_HANDLE_MODULE, module);
	if (!module || !module->handle || !text) {
		free(module);
		free(text);
		return CUDA_ERROR_OUT_OF_MEMORY;
	}
	module->ctx = ctx;
	module->text = text;
	pthread_mutex_lock(&modules.lock);
	module->next = modules.head;
	modules.head = module;
	pthread_mutex_unlock(&modules.lock);
	*out = (CUmodule)(uintptr_t)module->handle;
	return CUDA_SUCCESS;
}

CUresult SOFT(cuModuleLoadData)(CUmodule *module, const void *image)
{
	struct ccr_ctx *ctx;
	CUresult result = ccr_ctx_current(&ctx);

	if (result != CUDA_SUCCESS)
		return result;
	if (!module)
		return CUDA_ERROR_INVALID_VALUE;
	result = ccr_ptx_check(image);
	return result == CUDA_SUCCESS ? load_text(module, strdup(image), ctx) : result;
}

CUresult SOFT(cuModuleLoadDataEx)(CUmodule *module, const void *image, unsigned int count,
				  CUjit_option *options, void **values)
{
	// The options are for a compiler, which this driver does not have.
	if (count && (!options || !values))
		return CUDA_ERROR_INVALID_VALUE;
	return SOFT(cuModuleLoadData)(module, image);
}

static char *read_text(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	char *text = NULL;
	size_t done = 0;

	if (fd < 0)
		return NULL;
	if (!fstat(fd, &st) && S_ISREG(st.st_mode))
		text = calloc(1, (size_t)st.st_size + 1);
	while (text && done < (size_t)st.st_size) {
		ssize_t n = read(fd, text + done, (size_t)st.st_size - done);

		if (n <= 0)
			break;
		done += (size_t)n;
	}
	close(fd);
	return text;
}

CUresult SOFT(cuModuleLoad)(CUmodule *module, const char *path)
{
	CUresult result;
	char *text;

	if (!module || !path)
		return CUDA_ERROR_INVALID_VALUE;
	text = read_text(path);
	if (!text)
		return CUDA_ERROR_FILE_NOT_FOUND;
	result = SOFT(cuModuleLoadData)(module, text);
	free(text);
	return result;
}

static void free_module(struct ccr_module *module)
{
	struct function *function, *next;

	for (function = module->functions; function; function = next) {
		next = function->next;
		ccr_handle_drop(function->handle);
		free(function);
	}
	ccr_handle_drop(module->handle);
	free(module->text);
	free(module);
}

// Call with modules.lock held.
static bool unlink_module(struct ccr_module *module)
{
	struct ccr_module **at = &modules.head;

	while (*at && *at != module)
		at = &(*at)->next;
	if (!*at)
		return false;
	*at = module->next;
	return true;
}

CUresult SOFT(cuModuleUnload)(CUmodule handle)
{
	struct ccr_module *module;

	pthread_mutex_lock(&modules.lock);
	module = ccr_handle_of(CCR_HANDLE_MODULE, handle);
	if (module && unlink_module(module))
		free_module(module);
	pthread_mutex_unlock(&modules.lock);
	return module ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

void ccr_module_free_context(struct ccr_ctx *ctx)
{
	struct ccr_module *module, *next;

	pthread_mutex_lock(&modules.lock);
	for (module = modules.head; module; module = next) {
		next = module->next;
		if (module->ctx == ctx && unlink_module(module))
			free_module(module);
	}
	pthread_mutex_unlock(&modules.lock);
}

static CUresult get_function(struct ccr_module *module, const char *name, CUfunction *out)
{
	struct function *function;

	if (!ccr_ptx_has_entry(module->text, name))
		return CUDA_ERROR_NOT_FOUND;
	for (function = module->functions; function; function = function->next)
		if (!strcmp(function->kernel->name, name))
			break;
	if (!function) {
		const struct ccr_kernel *kernel = ccr_kernel_find(name);

		if (!kernel)
			return CUDA_ERROR_NOT_SUPPORTED;
		function = calloc(1, sizeof(*function));
		if (!function)
			return CUDA_ERROR_OUT_OF_MEMORY;
		function->handle = ccr_handle_new(CCR_HANDLE_FUNCTION, function);
		if (!function->handle) {
			free(function);
			return CUDA_ERROR_OUT_OF_MEMORY;
		}
		function->kernel = kernel;
		function->module = module;
		function->next = module->functions;
		module->functions = function;
	}
	*out = (CUfunction)(uintptr_t)function->handle;
	return CUDA_SUCCESS;
}

CUresult SOFT(cuModuleGetFunction)(CUfunction *function, CUmodule handle, const char *name)
{
	CUresult result = CUDA_ERROR_INVALID_HANDLE;
	struct ccr_module *module;

	if (!function || !name || !*name)
		return CUDA_ERROR_INVALID_VALUE;
	pthread_mutex_lock(&modules.lock);
	module = ccr_handle_of(CCR_HANDLE_MODULE, handle);
	if (module)
		result = get_function(module, name, function);
	pthread_mutex_unlock(&modules.lock);
	return result;
}

CUresult SOFT(cuModuleGetGlobal_v2)(CUdeviceptr *dptr, size_t *bytes, CUmodule handle,
				    const char *name)
{
	CUresult result = CUDA_ERROR_INVALID_HANDLE;
	const struct ccr_module *module;

	if (!name)
		return CUDA_ERROR_INVALID_VALUE;
	pthread_mutex_lock(&modules.lock);
	module = ccr_handle_of(CCR_HANDLE_MODULE, handle);
	// Global variables have no storage in this driver.
	if (module)
		result = strstr(module->text, name) ? CUDA_ERROR_NOT_SUPPORTED
						    : CUDA_ERROR_NOT_FOUND;
	pthread_mutex_unlock(&modules.lock);
	return result;
}

const struct ccr_kernel *ccr_function_kernel(CUfunction handle, struct ccr_ctx **ctx)
{
	const struct ccr_kernel *kernel = NULL;
	const struct function *function;

	pthread_mutex_lock(&modules.lock);
	function = ccr_handle_of(CCR_HANDLE_FUNCTION, handle);
	if (function) {
		kernel = function->kernel;
		*ctx = function->module->ctx;
	}
	pthread_mutex_unlock(&modules.lock);
	return kernel;
}

CUresult SOFT(cuFuncGetModule)(CUmodule *module, CUfunction handle)
{
	const struct function *function;

	if (!module)
		return CUDA_ERROR_INVALID_VALUE;
	pthread_mutex_lock(&modules.lock);
	function = ccr_handle_of(CCR_HANDLE_FUNCTION, handle);
	if (function)
		*module = (CUmodule)(uintptr_t)function->module->handle;
	pthread_mutex_unlock(&modules.lock);
	return function ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}
