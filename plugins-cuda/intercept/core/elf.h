// SPDX-License-Identifier: MIT
/*
 * Searches the symbol tables of loaded libraries without dlsym, which this
 * library replaces. Allocates nothing and keeps no state.
 */
#ifndef CCR_INTERCEPT_ELF_H
#define CCR_INTERCEPT_ELF_H

#include <link.h>
#include <stdbool.h>

/* A loaded library, with what a search needs. `dynamic` NULL: there is none. */
struct ccr__image {
	ElfW(Addr) base;
	const ElfW(Dyn) * dynamic;
};

/* Returns the address of a function or object that the image itself exports, or NULL. */
void *ccr__elf_find(const struct ccr__image *image, const char *name);

/* Finds the image that contains an address. */
bool ccr__elf_image_of(const void *address, struct ccr__image *out);

/*
 * Returns the address of `name` in the first image after this library in load
 * order, as RTLD_NEXT does but including libraries that were opened privately.
 * With `after`, searches behind the image that contains this address instead.
 * Never returns a symbol of this library.
 */
void *ccr__elf_next(const char *name, const void *after, struct ccr__image *found);

/* True when the image that contains `address` comes before this library in load order. */
bool ccr__elf_precedes_us(const void *address);

/* Returns `name` in the C library (or libdl before glibc 2.34). Works before anything else does. */
void *ccr__elf_libc(const char *name);

/* strcmp() == 0, without calling it. */
bool ccr__elf_same_text(const char *a, const char *b);

#endif
