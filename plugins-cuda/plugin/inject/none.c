// SPDX-License-Identifier: GPL-2.0-only
/* Variant `stock`: no system call is injected, so no thread has to be recovered. */
#include "plugin/inject/inject.h"

int ccr__inject_recover(const struct injected *injected)
{
	return 0;
}
