// SPDX-License-Identifier: MIT
// The list of contexts, and each thread's stack of current contexts. Structures of contexts are
// never freed, so that we can recognize a destroyed context that is still current in a thread.
#include "softcuda/softcuda.h"

#define STACK_DEPTH 64

static struct ccr_ctx *head;

static _Thread_local struct {
	struct ccr_ctx *items[STACK_DEPTH];
	int depth;
} stack;

void ccr_ctx_add(struct ccr_ctx *ctx)
{
	ctx->next = head;
	head = ctx;
}

bool ccr_ctx_has_room(void)
{
	return stack.depth < STACK_DEPTH;
}

bool ccr_ctx_push(struct ccr_ctx *ctx)
{
	if (!ccr_ctx_has_room())
		return false;
	stack.items[stack.depth++] = ctx;
	return true;
}

struct ccr_ctx *ccr_ctx_pop(void)
{
	return stack.depth ? stack.items[--stack.depth] : NULL;
}

struct ccr_ctx *ccr_ctx_top(void)
{
	return stack.depth ? stack.items[stack.depth - 1] : NULL;
}

CUresult ccr_ctx_current(struct ccr_ctx **out)
{
	struct ccr_ctx *ctx = ccr_ctx_top();

	if (!ctx)
		return CUDA_ERROR_INVALID_CONTEXT;
	if (!ctx->is_alive)
		return CUDA_ERROR_CONTEXT_IS_DESTROYED;
	*out = ctx;
	return (CUresult)atomic_load(&ctx->sticky);
}

bool ccr_device_in_use(int device)
{
	for (struct ccr_ctx *ctx = head; ctx; ctx = ctx->next)
		if (ctx->is_alive && ctx->device == device)
			return true;
	return ccr_phys_on_device(device);
}
