// SPDX-License-Identifier: MIT
#include "intercept/core/real.h"

#include <stdbool.h>

struct ccr__real ccr__real;

void *ccr__real_find(const char *name)
{
	void *function = ccr__elf_find(&ccr__real.image, name);

	return function ? function : ccr__elf_next(name, NULL, NULL);
}

void ccr__real_load(const void *function)
{
	static bool is_loaded;

	if (is_loaded || !ccr__elf_image_of(function, &ccr__real.image))
		return;
#define LOAD(symbol, ...) ccr__real.symbol = (__typeof__(symbol) *)ccr__real_find(#symbol);
	CCR_WRAPPERS(LOAD)
	CCR_PLAIN_CALLS(LOAD)
#undef LOAD
	is_loaded = true;
}
