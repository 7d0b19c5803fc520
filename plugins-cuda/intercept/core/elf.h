// SPDX-License-Identifier: MIT
/*
 * Looking into the symbol tables of loaded libraries without dlsym, which is
 * one of the functions this library stands in for. No allocation, no state.
 */
#ifndef CCR_INTERCEPT_ELF_H
#define CCR_INTERCEPT_ELF_H

#include <link.h>
#include <stdbool.h>

/* A loaded library: enough to search it. `dynamic` NULL means none. */
struct ccr__image {
	ElfW(Addr) base;
	const ElfW(Dyn) * dynamic;
};

/* The address of a function or object the image itself defines and exports, or NULL. */
void *ccr__elf_find(const struct ccr__image *image, const char *name);

/* The image that holds an address. */
bool ccr__elf_image_of(const void *address, struct ccr__image *out);

/*
 * The first image after this library, in load order, that defines `name`: what
 * RTLD_NEXT means, libraries opened privately included. `after`, when not NULL:
 * after the image that holds this address instead. Never this library itself.
 */
void *ccr__elf_next(const char *name, const void *after, struct ccr__image *found);

/* Whether this library comes after the image that holds `address` in load order. */
bool ccr__elf_precedes_us(const void *address);

/* `name` in the C library (or libdl, before glibc 2.34): usable while nothing else works yet. */
void *ccr__elf_libc(const char *name);

/* strcmp() == 0, for the same early time. */
bool ccr__elf_same_text(const char *a, const char *b);

#endif
