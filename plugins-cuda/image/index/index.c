// SPDX-License-Identifier: MIT
#include "image/index/index.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "image/format/format.h"
#include "image/read/read.h"
#include "image/read/wire.h"
#include "index.pb-c.h"

int ccr_index_add(struct ccr_index *index, const struct ccr_index_member *member)
{
	struct ccr_index_member *members;
	size_t place = index->nr_members;

	members = realloc(index->members, (index->nr_members + 1) * sizeof(*members));
	if (!members)
		return -ENOMEM;
	index->members = members;
	while (place && members[place - 1].pid > member->pid)
		place--;
	memmove(&members[place + 1], &members[place],
		(index->nr_members - place) * sizeof(*members));
	members[place] = *member;
	index->nr_members++;
	return 0;
}

int ccr_index_add_device_file(struct ccr_index *index, const struct ccr_device_file *file)
{
	struct ccr_device_file *files, copy = *file;

	if (index->nr_device_files == CCR_INDEX_MAX_DEVICE_FILES)
		return -E2BIG;
	files = realloc(index->device_files, (index->nr_device_files + 1) * sizeof(*files));
	if (!files)
		return -ENOMEM;
	index->device_files = files;
	copy.path = strdup(file->path);
	if (!copy.path)
		return -ENOMEM;
	files[index->nr_device_files++] = copy;
	return 0;
}

/* What the message of an index points to. */
struct rows {
	Ccr__Pb__IndexMember *members, **member_rows;
	Ccr__Pb__DeviceFile *files, **file_rows;
};

static void free_rows(struct rows *rows)
{
	free(rows->members);
	free(rows->member_rows);
	free(rows->files);
	free(rows->file_rows);
}

static int fill_rows(struct rows *rows, const struct ccr_index *index)
{
	rows->members = calloc(index->nr_members + 1, sizeof(*rows->members));
	rows->member_rows = calloc(index->nr_members + 1, sizeof(*rows->member_rows));
	rows->files = calloc(index->nr_device_files + 1, sizeof(*rows->files));
	rows->file_rows = calloc(index->nr_device_files + 1, sizeof(*rows->file_rows));
	if (!rows->members || !rows->member_rows || !rows->files || !rows->file_rows)
		return -ENOMEM;
	for (size_t i = 0; i < index->nr_members; i++) {
		Ccr__Pb__IndexMember *row = rows->member_rows[i] = &rows->members[i];

		ccr__pb__index_member__init(row);
		row->pid = index->members[i].pid;
		row->gpu = index->members[i].has_gpu;
		row->host = index->members[i].has_host;
	}
	for (size_t i = 0; i < index->nr_device_files; i++) {
		Ccr__Pb__DeviceFile *row = rows->file_rows[i] = &rows->files[i];
		struct ccr_device_file *file = &index->device_files[i];

		ccr__pb__device_file__init(row);
		row->id = file->id;
		row->path = file->path;
		row->flags = file->flags;
		row->position = file->position;
		if (file->has_gpu)
			row->gpu = (ProtobufCBinaryData){sizeof(file->gpu), file->gpu};
	}
	return 0;
}

int ccr_index_write(const struct ccr_index *index, int dirfd, bool sync, char *error,
		    size_t error_size)
{
	Ccr__Pb__Index pb = CCR__PB__INDEX__INIT;
	struct rows rows = {NULL};
	struct timespec now;
	void *data = NULL;
	size_t size;
	int ret = fill_rows(&rows, index);

	if (ret)
		goto out;
	clock_gettime(CLOCK_REALTIME, &now);
	pb.id = (ProtobufCBinaryData){sizeof(index->id), (uint8_t *)index->id};
	pb.created = now.tv_sec * 1000000000ull + now.tv_nsec;
	pb.tool = CCR_VERSION;
	pb.n_members = index->nr_members;
	pb.members = rows.member_rows;
	pb.n_device_files = index->nr_device_files;
	pb.device_files = rows.file_rows;
	ret = ccr__image_pack_message(&pb.base, CCR_INDEX_MAGIC, CCR_IMAGE_VERSION, &data, &size);
	if (!ret)
		ret = ccr__image_write_manifest(dirfd, CCR_INDEX_NAME, data, size, sync);
out:
	free(data);
	free_rows(&rows);
	return ret ? ccr__image_error(ret, error, error_size, CCR_INDEX_NAME ": %s", strerror(-ret))
		   : 0;
}

static int wrong(char *error, size_t error_size, const char *field, uint64_t value)
{
	return ccr__image_error(-EINVAL, error, error_size, CCR_INDEX_NAME ": %s is %llu", field,
				(unsigned long long)value);
}

static int convert_device_file(struct ccr_index *index, const Ccr__Pb__DeviceFile *from,
			       char *error, size_t error_size)
{
	struct ccr_device_file file = {
		.id = from->id, .flags = from->flags, .position = from->position};
	int ret;

	if (*from->path != '/')
		return ccr__image_error(
			-EINVAL, error, error_size,
			CCR_INDEX_NAME ": the path of device file %u is not absolute", from->id);
	if (from->flags > INT_MAX)
		return wrong(error, error_size, "the flags of a device file", from->flags);
	if (from->gpu.len && from->gpu.len != sizeof(file.gpu))
		return wrong(error, error_size, "the length of the UUID of a device file",
			     from->gpu.len);
	file.path = from->path;
	file.has_gpu = from->gpu.len;
	if (file.has_gpu)
		memcpy(file.gpu, from->gpu.data, sizeof(file.gpu));
	ret = ccr_index_add_device_file(index, &file);
	return ret ? ccr__image_error(ret, error, error_size, CCR_INDEX_NAME ": %s", strerror(-ret))
		   : 0;
}

static int convert(struct ccr_index *index, const Ccr__Pb__Index *pb, char *error,
		   size_t error_size)
{
	int last = 0;

	if (pb->id.len != sizeof(index->id))
		return wrong(error, error_size, "the length of id", pb->id.len);
	memcpy(index->id, pb->id.data, sizeof(index->id));
	index->members = calloc(pb->n_members + 1, sizeof(*index->members));
	if (!index->members)
		return ccr__image_error(-ENOMEM, error, error_size,
					CCR_INDEX_NAME ": out of memory");
	for (size_t i = 0; i < pb->n_members; i++) {
		const Ccr__Pb__IndexMember *from = pb->members[i];

		if (from->pid > INT_MAX || (int)from->pid <= last)
			return wrong(error, error_size, "the pid of a member", from->pid);
		last = from->pid;
		index->members[index->nr_members++] = (struct ccr_index_member){
			.pid = from->pid, .has_gpu = from->gpu, .has_host = from->host};
	}
	for (size_t i = 0; i < pb->n_device_files; i++) {
		const int ret = convert_device_file(index, pb->device_files[i], error, error_size);

		if (ret)
			return ret;
	}
	return 0;
}

int ccr_index_open(struct ccr_index **out, int dirfd, char *error, size_t error_size)
{
	static const struct ccr__wire_limit limits[] = {
		{"members", CCR_INDEX_MAX_MEMBERS}, {"device_files", CCR_INDEX_MAX_DEVICE_FILES}};
	struct ccr_index *index = calloc(1, sizeof(*index));
	Ccr__Pb__Index *pb = NULL;
	const uint8_t *message;
	void *data = NULL;
	size_t size;
	int ret;

	if (!index)
		return ccr__image_error(-ENOMEM, error, error_size, "out of memory");
	ret = ccr__image_read_manifest(dirfd, CCR_INDEX_NAME, &data, &size, error, error_size);
	if (ret) {
		data = NULL;
		goto out;
	}
	ret = ccr__image_check_head(data, size, CCR_INDEX_MAGIC, CCR_INDEX_NAME, error, error_size);
	if (ret)
		goto out;
	message = (const uint8_t *)data + sizeof(struct ccr_image_head);
	size -= sizeof(struct ccr_image_head);
	ret = ccr__image_check_wire(&ccr__pb__index__descriptor, message, size, limits, 2,
				    CCR_INDEX_NAME, error, error_size);
	if (ret)
		goto out;
	pb = ccr__pb__index__unpack(NULL, size, message);
	ret = pb ? convert(index, pb, error, error_size)
		 : ccr__image_error(-EINVAL, error, error_size,
				    CCR_INDEX_NAME ": message: not the protobuf message of an "
						   "index");
out:
	if (pb)
		ccr__pb__index__free_unpacked(pb, NULL);
	free(data);
	if (ret)
		ccr_index_close(index);
	else
		*out = index;
	return ret;
}

void ccr_index_close(struct ccr_index *index)
{
	if (!index)
		return;
	for (size_t i = 0; i < index->nr_device_files; i++)
		free(index->device_files[i].path);
	free(index->device_files);
	free(index->members);
	free(index);
}

const struct ccr_index_member *ccr_index_find(const struct ccr_index *index, int pid)
{
	for (size_t i = 0; i < index->nr_members; i++)
		if (index->members[i].pid == pid)
			return &index->members[i];
	return NULL;
}

const struct ccr_device_file *ccr_index_find_device_file(const struct ccr_index *index, uint32_t id)
{
	for (size_t i = 0; i < index->nr_device_files; i++)
		if (index->device_files[i].id == id)
			return &index->device_files[i];
	return NULL;
}
