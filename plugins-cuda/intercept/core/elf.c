// SPDX-License-Identifier: MIT
/*
 * See elf.h. A sanitizer's runtime looks up its own functions through our dlsym
 * before it is ready, and replaces string functions too. So this file is compiled
 * without sanitizers, and the code that dlsym needs first calls nothing else.
 */
#include "intercept/core/elf.h"

#include <stddef.h>
#include <stdint.h>

struct tables {
	const ElfW(Sym) * symbols;
	const char *strings;
	const uint32_t *gnu_hash;
	const uint32_t *hash;
	const uint16_t *versions;
};

/* On most machines glibc relocates these in place, but not where .dynamic is read-only. */
static const void *absolute(const struct ccr__image *image, ElfW(Addr) value)
{
	return (const void *)(value < image->base ? value + image->base : value);
}

static bool read_tables(const struct ccr__image *image, struct tables *t)
{
	*t = (struct tables){0};
	if (!image->dynamic)
		return false;
	for (const ElfW(Dyn) *d = image->dynamic; d->d_tag != DT_NULL; d++) {
		const void *at = absolute(image, d->d_un.d_ptr);

		switch (d->d_tag) {
		case DT_SYMTAB:
			t->symbols = at;
			break;
		case DT_STRTAB:
			t->strings = at;
			break;
		case DT_GNU_HASH:
			t->gnu_hash = at;
			break;
		case DT_HASH:
			t->hash = at;
			break;
		case DT_VERSYM:
			t->versions = at;
			break;
		}
	}
	return t->symbols && t->strings && (t->gnu_hash || t->hash);
}

bool ccr__elf_same_text(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}

static bool is_same(const struct tables *t, uint32_t index, const char *name)
{
	const ElfW(Sym) *s = &t->symbols[index];

	return s->st_shndx != SHN_UNDEF && s->st_value &&
	       ccr__elf_same_text(t->strings + s->st_name, name);
}

/* Only programs that were linked against a hidden version (name@VERSION) may use it. */
static bool is_hidden(const struct tables *t, uint32_t index)
{
	return t->versions && t->versions[index] & 0x8000;
}

static uint32_t better(const struct tables *t, uint32_t have, uint32_t candidate)
{
	return !have || (is_hidden(t, have) && !is_hidden(t, candidate)) ? candidate : have;
}

static uint32_t find_gnu(const struct tables *t, const char *name)
{
	const uint32_t nr_buckets = t->gnu_hash[0], first = t->gnu_hash[1];
	const uint32_t bloom_words = t->gnu_hash[2];
	const uint32_t *buckets =
		(const uint32_t *)((const ElfW(Addr) *)&t->gnu_hash[4] + bloom_words);
	const uint32_t *chain = buckets + nr_buckets;
	uint32_t hash = 5381, index, found = 0;

	for (const unsigned char *p = (const unsigned char *)name; *p; p++)
		hash = hash * 33 + *p;
	index = nr_buckets ? buckets[hash % nr_buckets] : 0;
	if (index < first)
		return 0;
	for (;; index++) {
		const uint32_t entry = chain[index - first];

		if ((entry | 1) == (hash | 1) && is_same(t, index, name))
			found = better(t, found, index);
		if (entry & 1)
			return found;
	}
}

static uint32_t find_sysv(const struct tables *t, const char *name)
{
	const uint32_t nr_buckets = t->hash[0];
	const uint32_t *buckets = t->hash + 2, *chain = buckets + nr_buckets;
	uint32_t hash = 0, found = 0;

	for (const unsigned char *p = (const unsigned char *)name; *p; p++) {
		hash = (hash << 4) + *p;
		hash = (hash ^ ((hash & 0xf0000000) >> 24)) & 0x0fffffff;
	}
	for (uint32_t i = nr_buckets ? buckets[hash % nr_buckets] : 0; i; i = chain[i])
		if (is_same(t, i, name))
			found = better(t, found, i);
	return found;
}

void *ccr__elf_find(const struct ccr__image *image, const char *name)
{
	const ElfW(Sym) * s;
	struct tables t;
	uint32_t index;
	void *address;

	if (!read_tables(image, &t))
		return NULL;
	index = t.gnu_hash ? find_gnu(&t, name) : find_sysv(&t, name);
	if (!index)
		return NULL;
	s = &t.symbols[index];
	address = (void *)(image->base + s->st_value);
	if (ELF64_ST_TYPE(s->st_info) == STT_GNU_IFUNC)
		address = ((void *(*)(void))address)();
	return address;
}

static bool holds(const struct dl_phdr_info *info, const void *address)
{
	const uintptr_t at = (uintptr_t)address - info->dlpi_addr;

	for (int i = 0; i < info->dlpi_phnum; i++)
		if (info->dlpi_phdr[i].p_type == PT_LOAD &&
		    at - info->dlpi_phdr[i].p_vaddr < info->dlpi_phdr[i].p_memsz)
			return true;
	return false;
}

static struct ccr__image image_of(const struct dl_phdr_info *info)
{
	struct ccr__image image = {.base = info->dlpi_addr};

	for (int i = 0; i < info->dlpi_phnum; i++)
		if (info->dlpi_phdr[i].p_type == PT_DYNAMIC)
			image.dynamic = (void *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
	return image;
}

struct search {
	const char *name;
	const void *address, *after;
	struct ccr__image image;
	bool passed;
	void *result;
};

static int visit_holder(struct dl_phdr_info *info, size_t size, void *data)
{
	struct search *search = data;

	(void)size;
	if (!holds(info, search->address))
		return 0;
	search->image = image_of(info);
	return 1;
}

bool ccr__elf_image_of(const void *address, struct ccr__image *out)
{
	struct search search = {.address = address};

	if (!dl_iterate_phdr(visit_holder, &search))
		return false;
	*out = search.image;
	return true;
}

/* Its address is inside this library. */
static const char self;

static int visit_next(struct dl_phdr_info *info, size_t size, void *data)
{
	struct search *search = data;
	struct ccr__image image;

	(void)size;
	if (!search->passed) {
		search->passed = holds(info, search->after);
		return 0;
	}
	if (holds(info, &self))
		return 0;
	image = image_of(info);
	search->result = ccr__elf_find(&image, search->name);
	search->image = image;
	return search->result != NULL;
}

void *ccr__elf_next(const char *name, const void *after, struct ccr__image *found)
{
	struct search search = {.name = name, .after = after ? after : &self};

	if (!dl_iterate_phdr(visit_next, &search))
		return NULL;
	if (found)
		*found = search.image;
	return search.result;
}

static int visit_order(struct dl_phdr_info *info, size_t size, void *data)
{
	struct search *search = data;

	(void)size;
	search->passed = holds(info, search->address);
	return search->passed || holds(info, &self);
}

bool ccr__elf_precedes_us(const void *address)
{
	struct search search = {.address = address};

	dl_iterate_phdr(visit_order, &search);
	return search.passed;
}

/* musl's list is somewhere else. Both are weak, so that the other loader accepts this library. */
extern struct r_debug _r_debug __attribute__((weak));
extern struct r_debug *const _dl_debug_addr __attribute__((weak));

static const struct link_map *first_map(void)
{
	if (&_r_debug)
		return _r_debug.r_map;
	return &_dl_debug_addr && _dl_debug_addr ? _dl_debug_addr->r_map : NULL;
}

/* musl has one library for everything, which is also its loader. */
static bool is_libc(const char *name)
{
	static const char musl[] = "ld-musl-";
	size_t i = 0;

	while (musl[i] && name[i] == musl[i])
		i++;
	return !musl[i] || ccr__elf_same_text(name, "libc.so.6") ||
	       ccr__elf_same_text(name, "libdl.so.2");
}

void *ccr__elf_libc(const char *name)
{
	/* Not dl_iterate_phdr: a sanitizer may replace it and not be ready. */
	for (const struct link_map *map = first_map(); map; map = map->l_next) {
		const struct ccr__image image = {.base = map->l_addr, .dynamic = map->l_ld};
		const char *base = map->l_name;
		void *address;

		for (const char *p = base; *p; p++)
			if (*p == '/')
				base = p + 1;
		if (!is_libc(base))
			continue;
		address = ccr__elf_find(&image, name);
		if (address)
			return address;
	}
	return NULL;
}
