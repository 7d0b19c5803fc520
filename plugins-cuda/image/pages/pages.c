// SPDX-License-Identifier: MIT
/* Names, writing and reading of a page file's manifest. */
#include "image/pages/pages.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "image/format/format.h"
#include "pages.pb-c.h"
#include "image/read/read.h"
#include "image/read/wire.h"

void ccr_pages_name(struct ccr_pages *pages)
{
	char *out = pages->file;

	snprintf(pages->name, sizeof(pages->name), "cuda-host-%d.img", pages->pid);
	out += snprintf(out, sizeof(pages->file), CCR_PAGES_PREFIX "%d-", pages->pid);
	for (size_t i = 0; i < sizeof(pages->id); i++)
		out += sprintf(out, "%02x", pages->id[i]);
	memcpy(out, ".img", sizeof(".img"));
}

int ccr_pages_pid_of_name(const char *name)
{
	int pid, end = 0;

	if (sscanf(name, "cuda-host-%d.img%n", &pid, &end) != 1 || !end || name[end] || pid <= 0)
		return 0;
	return pid;
}

bool ccr_pages_is_page_file(const char *path)
{
	const char *name = strrchr(path, '/');
	int pid, end = 0;

	if (!name || sscanf(name + 1, CCR_PAGES_PREFIX "%d-%*16[0-9a-f].img%n", &pid, &end) != 1 ||
	    !end)
		return false;
	return !name[1 + end] || !strcmp(name + 1 + end, " (deleted)");
}

int ccr_pages_write(const struct ccr_pages *pages, int dirfd, char *error, size_t error_size)
{
	Ccr__Pb__PageManifest pb = CCR__PB__PAGE_MANIFEST__INIT;
	Ccr__Pb__PageMapping *mappings = calloc(pages->nr_mappings + 1, sizeof(*mappings));
	Ccr__Pb__PageMapping **rows = calloc(pages->nr_mappings + 1, sizeof(*rows));
	Ccr__Pb__EmptiedMapping *emptied = calloc(pages->nr_emptied + 1, sizeof(*emptied));
	Ccr__Pb__EmptiedMapping **emptied_rows =
		calloc(pages->nr_emptied + 1, sizeof(*emptied_rows));
	void *data = NULL;
	size_t size;
	int ret = -ENOMEM;

	if (!mappings || !rows || !emptied || !emptied_rows)
		goto out;
	for (size_t i = 0; i < pages->nr_mappings; i++) {
		rows[i] = &mappings[i];
		ccr__pb__page_mapping__init(rows[i]);
		rows[i]->address = pages->mappings[i].address;
		rows[i]->size = pages->mappings[i].size;
		rows[i]->offset = pages->mappings[i].offset;
		rows[i]->drivers = pages->mappings[i].is_drivers;
		rows[i]->shared = pages->mappings[i].is_shared;
	}
	for (size_t i = 0; i < pages->nr_emptied; i++) {
		emptied_rows[i] = &emptied[i];
		ccr__pb__emptied_mapping__init(emptied_rows[i]);
		emptied_rows[i]->address = pages->emptied[i].address;
		emptied_rows[i]->size = pages->emptied[i].size;
		emptied_rows[i]->prot = pages->emptied[i].prot;
		emptied_rows[i]->hidden = pages->emptied[i].is_hidden;
		emptied_rows[i]->may_be_late = pages->emptied[i].may_be_late;
	}
	pb.id = (ProtobufCBinaryData){sizeof(pages->id), (uint8_t *)pages->id};
	if (!ccr_checkpoint_id_is_none(pages->checkpoint))
		pb.checkpoint = (ProtobufCBinaryData){sizeof(pages->checkpoint),
						      (uint8_t *)pages->checkpoint};
	pb.created = pages->created_ns;
	pb.tool = (char *)pages->tool;
	pb.pid = pages->pid;
	pb.directory = (char *)pages->directory;
	pb.size = pages->size;
	pb.modified = pages->modified_ns;
	pb.stored = pages->stored;
	pb.chunk_size = pages->chunk_size;
	pb.n_xxh3 = pages->nr_chunks;
	pb.xxh3 = pages->xxh3;
	pb.n_mappings = pages->nr_mappings;
	pb.mappings = rows;
	pb.n_emptied = pages->nr_emptied;
	pb.emptied = emptied_rows;
	ret = ccr__image_pack_message(&pb.base, CCR_PAGES_MAGIC, CCR_IMAGE_VERSION, &data, &size);
	if (!ret)
		ret = ccr__image_write_manifest(dirfd, pages->name, data, size, pages->sync);
out:
	free(data);
	free(mappings);
	free(rows);
	free(emptied);
	free(emptied_rows);
	return ret ? ccr__image_error(ret, error, error_size, "%s: %s", pages->name, strerror(-ret))
		   : 0;
}

size_t ccr_pages_find_emptied(const struct ccr_pages *pages, uint64_t address)
{
	size_t low = 0, high = pages->nr_emptied;

	while (low < high) {
		const size_t middle = low + (high - low) / 2;
		const struct ccr_pages_emptied *e = &pages->emptied[middle];

		if (e->address + e->size <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low < pages->nr_emptied && pages->emptied[low].address <= address
		       ? low
		       : pages->nr_emptied;
}

static const struct ccr__wire_limit limits[] = {
	{"xxh3", CCR_PAGES_MAX_CHUNKS},
	{"mappings", CCR_PAGES_MAX_MAPPINGS},
	{"emptied", CCR_PAGES_MAX_MAPPINGS},
};

static int wrong(const struct ccr_pages *pages, char *error, size_t error_size, const char *field,
		 uint64_t value)
{
	return ccr__image_error(-EINVAL, error, error_size, "%s: %s is %llu", pages->name, field,
				(unsigned long long)value);
}

/* A piece lies inside an emptied mapping or outside all of them. */
static int check_emptied(const struct ccr_pages *p, char *error, size_t error_size)
{
	uint64_t end = 0; /* of the previous one */

	for (size_t i = 0; i < p->nr_emptied; i++) {
		const struct ccr_pages_emptied *e = &p->emptied[i];

		if (e->size == 0 || e->size % CCR_IMAGE_ALIGN || e->size > CCR_IMAGE_MAX_BYTES)
			return wrong(p, error, error_size, "the size of an emptied mapping",
				     e->size);
		if (e->address % CCR_IMAGE_ALIGN || e->address < end ||
		    e->address > UINT64_MAX - e->size)
			return wrong(p, error, error_size, "the address of an emptied mapping",
				     e->address);
		if (e->prot & ~(uint32_t)(PROT_READ | PROT_WRITE | PROT_EXEC))
			return wrong(p, error, error_size, "the protection of an emptied mapping",
				     e->prot);
		end = e->address + e->size;
	}
	for (size_t i = 0; i < p->nr_mappings; i++) {
		const struct ccr_pages_mapping *m = &p->mappings[i];

		if (ccr_pages_find_emptied(p, m->address) !=
		    ccr_pages_find_emptied(p, m->address + m->size - 1))
			return wrong(p, error, error_size, "the end of a mapping",
				     m->address + m->size);
	}
	return 0;
}

static int check(const struct ccr_pages *p, char *error, size_t error_size)
{
	uint64_t end = 0; /* of the previous mapping */

	if (p->size == 0 || p->size % CCR_IMAGE_ALIGN || p->size > CCR_IMAGE_MAX_BYTES)
		return wrong(p, error, error_size, "size", p->size);
	if (p->stored > p->size)
		return wrong(p, error, error_size, "stored", p->stored);
	if (p->chunk_size == 0 || p->chunk_size % CCR_IMAGE_ALIGN ||
	    p->chunk_size > CCR_IMAGE_MAX_CHUNK)
		return wrong(p, error, error_size, "chunk_size", p->chunk_size);
	if (p->nr_chunks != (p->size + p->chunk_size - 1) / p->chunk_size)
		return wrong(p, error, error_size, "the number of xxh3", p->nr_chunks);
	for (size_t i = 0; i < p->nr_mappings; i++) {
		const struct ccr_pages_mapping *m = &p->mappings[i];

		if (m->size == 0 || m->size % CCR_IMAGE_ALIGN || m->size > p->size)
			return wrong(p, error, error_size, "the size of a mapping", m->size);
		if (m->offset % CCR_IMAGE_ALIGN || m->offset > p->size - m->size)
			return wrong(p, error, error_size, "the offset of a mapping", m->offset);
		if (m->address % CCR_IMAGE_ALIGN || m->address < end ||
		    m->address > UINT64_MAX - m->size)
			return wrong(p, error, error_size, "the address of a mapping", m->address);
		end = m->address + m->size;
	}
	return check_emptied(p, error, error_size);
}

static int convert(struct ccr_pages *pages, const Ccr__Pb__PageManifest *pb, char *error,
		   size_t error_size)
{
	if (pb->id.len != sizeof(pages->id))
		return wrong(pages, error, error_size, "the length of id", pb->id.len);
	if ((int)pb->pid != pages->pid)
		return wrong(pages, error, error_size, "pid", pb->pid);
	if (pb->checkpoint.len && pb->checkpoint.len != sizeof(pages->checkpoint))
		return wrong(pages, error, error_size, "the length of checkpoint",
			     pb->checkpoint.len);
	if (pb->checkpoint.len)
		memcpy(pages->checkpoint, pb->checkpoint.data, sizeof(pages->checkpoint));
	memcpy(pages->id, pb->id.data, sizeof(pages->id));
	ccr_pages_name(pages);
	pages->created_ns = pb->created;
	pages->modified_ns = pb->modified;
	pages->size = pb->size;
	pages->stored = pb->stored;
	pages->chunk_size = pb->chunk_size;
	snprintf(pages->tool, sizeof(pages->tool), "%s", pb->tool);
	snprintf(pages->directory, sizeof(pages->directory), "%s", pb->directory);
	pages->nr_chunks = pb->n_xxh3;
	pages->nr_mappings = pb->n_mappings;
	pages->xxh3 = calloc(pages->nr_chunks + 1, sizeof(*pages->xxh3));
	pages->mappings = calloc(pages->nr_mappings + 1, sizeof(*pages->mappings));
	pages->nr_emptied = pb->n_emptied;
	pages->emptied = calloc(pages->nr_emptied + 1, sizeof(*pages->emptied));
	if (!pages->xxh3 || !pages->mappings || !pages->emptied)
		return ccr__image_error(-ENOMEM, error, error_size, "%s: out of memory",
					pages->name);
	if (pages->nr_chunks)
		memcpy(pages->xxh3, pb->xxh3, pages->nr_chunks * sizeof(*pages->xxh3));
	for (size_t i = 0; i < pages->nr_mappings; i++)
		pages->mappings[i] = (struct ccr_pages_mapping){
			pb->mappings[i]->address, pb->mappings[i]->size, pb->mappings[i]->offset,
			pb->mappings[i]->drivers, pb->mappings[i]->shared};
	for (size_t i = 0; i < pages->nr_emptied; i++)
		pages->emptied[i] = (struct ccr_pages_emptied){
			pb->emptied[i]->address, pb->emptied[i]->size, pb->emptied[i]->prot,
			pb->emptied[i]->hidden, pb->emptied[i]->may_be_late};
	return check(pages, error, error_size);
}

int ccr_pages_open(struct ccr_pages **out, int dirfd, int pid, char *error, size_t error_size)
{
	struct ccr_pages *pages = calloc(1, sizeof(*pages));
	Ccr__Pb__PageManifest *pb = NULL;
	const uint8_t *message;
	void *data = NULL;
	size_t size;
	int ret;

	if (!pages)
		return ccr__image_error(-ENOMEM, error, error_size, "out of memory");
	pages->pid = pid;
	ccr_pages_name(pages);
	ret = ccr__image_read_manifest(dirfd, pages->name, &data, &size, error, error_size);
	if (ret) {
		data = NULL;
		goto out;
	}
	ret = ccr__image_check_head(data, size, CCR_PAGES_MAGIC, pages->name, error, error_size);
	if (ret)
		goto out;
	size -= sizeof(struct ccr_image_head);
	message = (uint8_t *)data + sizeof(struct ccr_image_head);
	ret = ccr__image_check_wire(&ccr__pb__page_manifest__descriptor, message, size, limits,
				    sizeof(limits) / sizeof(limits[0]), pages->name, error,
				    error_size);
	if (ret)
		goto out;
	pb = ccr__pb__page_manifest__unpack(NULL, size, message);
	ret = pb ? convert(pages, pb, error, error_size)
		 : ccr__image_error(-EINVAL, error, error_size,
				    "%s: message: not the protobuf message of a manifest",
				    pages->name);
out:
	if (pb)
		ccr__pb__page_manifest__free_unpacked(pb, NULL);
	free(data);
	if (ret)
		ccr_pages_close(pages);
	else
		*out = pages;
	return ret;
}

void ccr_pages_close(struct ccr_pages *pages)
{
	if (!pages)
		return;
	free(pages->xxh3);
	free(pages->mappings);
	free(pages->emptied);
	free(pages);
}
