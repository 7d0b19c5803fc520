// SPDX-License-Identifier: MIT
/*
 * dlsym and dlvsym. We only answer requests for driver functions and for these
 * two functions; for all others, lookup_<machine>.S jumps to glibc's function
 * with unchanged arguments, so that RTLD_NEXT and RTLD_DEFAULT mean what they
 * mean to the caller. For our own requests we find the caller's position in the
 * load order. Compiled without sanitizers, like elf.c.
 */
#include "intercept/entry/entry.h"

#include <dlfcn.h>
#include <stdio.h>

void *(*ccr__real_dlsym)(void *handle, const char *name);
void *(*ccr__real_dlvsym)(void *handle, const char *name, const char *version);

void *ccr__lookup_target(const char *name, int versioned);

/* musl does not have it. */
extern __typeof__(dladdr1) dladdr1 __attribute__((weak));

static bool is_driver_name(const char *name)
{
	return name[0] == 'c' && name[1] == 'u' && name[2] >= 'A' && name[2] <= 'Z';
}

static bool is_lookup_name(const char *name)
{
	return ccr__elf_same_text(name, "dlsym") || ccr__elf_same_text(name, "dlvsym");
}

/* A program may have private functions called cuSomething too. */
static bool is_driver(const struct ccr__image *image)
{
	return ccr__elf_find(image, "cuInit") && ccr__elf_find(image, "cuDriverGetVersion");
}

/* Lets glibc fail, so that dlerror returns its usual text. */
static void *refuse(const char *name)
{
	return ccr__real_dlsym(RTLD_NEXT, name);
}

static void *refuse_version(const char *name)
{
	char text[256];

	ccr__report_unknown_version(name);
	/* A name that nothing has, because the driver has the function. */
	snprintf(text, sizeof(text), "%s (not offered by libcuda_intercept.so, which is older)",
		 name);
	return ccr__real_dlsym(RTLD_NEXT, text);
}

static void *substitute(const char *name, void *found)
{
	struct ccr__image image;

	if (!found || ccr__is_stub(found) || !ccr__elf_image_of(found, &image) ||
	    !is_driver(&image))
		return found;
	return ccr__is_unknown_version(name) ? refuse_version(name) : ccr__stub_for(name, found);
}

static void *next_after(const char *name, const void *caller)
{
	void *found;

	if (ccr__elf_precedes_us(caller)) {
		const int hook = ccr__hook_find(name);

		found = ccr__elf_next(name, NULL, NULL);
		if (found && hook >= 0)
			return ccr__stub_at(hook);
	} else {
		found = ccr__elf_next(name, caller, NULL);
	}
	return found ? substitute(name, found) : refuse(name);
}

static void *in_handle(void *handle, const char *name, const char *version, const void *caller)
{
	void *found =
		version ? ccr__real_dlvsym(handle, name, version) : ccr__real_dlsym(handle, name);
	struct link_map *map = NULL;
	Dl_info info;

	if (found && ccr__is_stub(found))
		/* Our own export counts only if a driver also has the function. */
		return ccr__elf_next(name, NULL, NULL) ? found : refuse(name);
	/* The default scope of a library includes the libraries that were opened with it. */
	if (!found && handle == RTLD_DEFAULT && !version && dladdr1 &&
	    dladdr1(caller, &info, (void **)&map, RTLD_DL_LINKMAP) && map)
		found = ccr__real_dlsym(map, name);
	return substitute(name, found);
}

static void *lookup(void *handle, const char *name, const char *version, const void *caller)
{
	void *found;

	if (is_lookup_name(name)) {
		void *const ours = ccr__real_dlsym(RTLD_DEFAULT, name);

		if (handle == RTLD_NEXT)
			return ccr__elf_libc(name);
		found = version ? ccr__real_dlvsym(handle, name, version)
				: ccr__real_dlsym(handle, name);
		return found && ours ? ours : found;
	}
	if (handle == RTLD_NEXT)
		return next_after(name, caller);
	return in_handle(handle, name, version, caller);
}

static void *lookup_plain(void *handle, const char *name, const void *caller)
{
	return lookup(handle, name, NULL, caller);
}

static void *lookup_versioned(void *handle, const char *name, const char *version,
			      const void *caller)
{
	return lookup(handle, name, version, caller);
}

static void *no_lookup(void)
{
	return NULL;
}

void *ccr__lookup_target(const char *name, int versioned)
{
	void *target;

	if (!ccr__real_dlsym) {
		*(void **)&ccr__real_dlvsym = ccr__elf_libc("dlvsym");
		__atomic_store_n((void **)&ccr__real_dlsym, ccr__elf_libc("dlsym"),
				 __ATOMIC_RELEASE);
	}
	/* musl has no dlvsym. */
	if (!ccr__real_dlsym || (versioned && !ccr__real_dlvsym))
		return (void *)no_lookup;
	if (name && (is_driver_name(name) || is_lookup_name(name)))
		target = versioned ? (void *)lookup_versioned : (void *)lookup_plain;
	else
		target = versioned ? (void *)ccr__real_dlvsym : (void *)ccr__real_dlsym;
	return target;
}
