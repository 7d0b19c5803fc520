// SPDX-License-Identifier: MIT
/*
 * Versions of a call that are newer than this library. A wrapper knows one ABI. If
 * the program used a later version of a call that takes our handle numbers, makes
 * a context or begins a capture, the driver would get what only we understand, or
 * we would move memory that is in use. So the program does not get that version: it
 * finds no such function, as with an older driver.
 */
#include "intercept/calls/calls.h"
#include "intercept/entry/entry.h"

#include <stdio.h>
#include <string.h>

#define MAX_NAME 128

static const struct {
	const char *base;
	const bool *is_wanted; /* NULL: whenever there is a gate */
} guarded[] = {
#define W(symbol, base, since) {#base, NULL},
	CCR_WRAPPERS_ALWAYS(W)
#undef W
#define W(symbol, base, since) {#base, &ccr__core.has_memory},
		CCR_WRAPPERS_MEMORY(W)
#undef W
};

bool ccr__is_guarded(const char *base)
{
	if (!ccr__core.has_gate)
		return false;
	for (size_t i = 0; i < sizeof(guarded) / sizeof(guarded[0]); i++)
		if (!strcmp(guarded[i].base, base))
			return !guarded[i].is_wanted || *guarded[i].is_wanted;
	return false;
}

/* Removes _ptds or _ptsz, and _v with a number. Returns false when there is neither. */
static bool strip(const char *name, char *base)
{
	size_t length = strlen(name), end;

	if (length >= MAX_NAME)
		return false;
	if (length > 5 &&
	    (!strcmp(name + length - 5, "_ptds") || !strcmp(name + length - 5, "_ptsz")))
		length -= 5;
	for (end = length; end && name[end - 1] >= '0' && name[end - 1] <= '9'; end--)
		;
	if (end < length && end > 2 && name[end - 1] == 'v' && name[end - 2] == '_')
		length = end - 2;
	memcpy(base, name, length);
	base[length] = '\0';
	return name[length] != '\0';
}

bool ccr__is_unknown_version(const char *name)
{
	char base[MAX_NAME];

	ccr__core_init();
	return strip(name, base) && ccr__is_guarded(base) && ccr__hook_find(name) < 0;
}

void ccr__report_unknown_version(const char *name)
{
	ccr_err("the program asks for %s in a version that is newer than this interceptor; it is "
		"told "
		"that there is none",
		name);
}
