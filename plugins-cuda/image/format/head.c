// SPDX-License-Identifier: MIT
/* The head of a manifest, and writing manifest files. */
#include "image/format/format.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <protobuf-c/protobuf-c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/io.h"
#include "image/checksum/checksum.h"

static bool is_known_version(uint32_t version, const char *magic)
{
	return version == CCR_IMAGE_VERSION ||
	       (version == CCR_IMAGE_VERSION_DRIVER && !strcmp(magic, CCR_IMAGE_MAGIC));
}

uint32_t ccr__image_version(const void *data)
{
	struct ccr_image_head head;

	memcpy(&head, data, sizeof(head));
	return le32toh(head.version);
}

int ccr__image_check_head(const void *data, size_t size, const char *magic, const char *name,
			  char *error, size_t error_size)
{
	struct ccr_image_head head;
	const size_t got = size < sizeof(head) ? size : sizeof(head);
	uint64_t bytes;
	uint32_t crc;

	memset(&head, 0, sizeof(head));
	memcpy(&head, data, got);
	if (memcmp(head.magic, magic, got < sizeof(head.magic) ? got : sizeof(head.magic)))
		return ccr__image_error(-EINVAL, error, error_size,
					"%s: not a%s image of criu-cuda: wrong magic", name,
					strcmp(magic, CCR_IMAGE_MAGIC) ? " page" : " GPU");
	if (size < sizeof(head))
		return ccr__image_error(
			-ENODATA, error, error_size,
			"%s: truncated: the file has %zu bytes, its head alone needs %zu", name,
			size, sizeof(head));
	if (!is_known_version(le32toh(head.version), magic))
		return ccr__image_error(-EPROTONOSUPPORT, error, error_size,
					"%s: version is %u; this program reads %u", name,
					le32toh(head.version), CCR_IMAGE_VERSION);
	bytes = le64toh(head.bytes);
	if (bytes != size - sizeof(head))
		return ccr__image_error(bytes > size - sizeof(head) ? -ENODATA : -EINVAL, error,
					error_size,
					"%s: length: the file has %zu bytes, its head says %llu",
					name, size, (unsigned long long)bytes + sizeof(head));
	crc = ccr_crc32((const char *)data + sizeof(head), bytes);
	if (crc != le32toh(head.crc))
		return ccr__image_error(-EBADMSG, error, error_size,
					"%s: crc is %08x, its head says %08x: the file is damaged",
					name, crc, le32toh(head.crc));
	return 0;
}

int ccr__image_pack_message(const ProtobufCMessage *message, const char *magic, uint32_t version,
			    void **data, size_t *size)
{
	struct ccr_image_head head = {.version = htole32(version)};
	const size_t bytes = protobuf_c_message_get_packed_size(message);
	uint8_t *out;

	if (bytes > CCR_IMAGE_MAX_MANIFEST - sizeof(head))
		return -E2BIG;
	out = malloc(sizeof(head) + bytes);
	if (!out)
		return -ENOMEM;
	protobuf_c_message_pack(message, out + sizeof(head));
	memcpy(head.magic, magic, sizeof(head.magic));
	head.bytes = htole64(bytes);
	head.crc = htole32(ccr_crc32(out + sizeof(head), bytes));
	memcpy(out, &head, sizeof(head));
	*data = out;
	*size = sizeof(head) + bytes;
	return 0;
}

int ccr__image_write_manifest(int dirfd, const char *name, const void *data, size_t size, bool sync)
{
	char temporary[CCR_IMAGE_NAME_MAX];
	int fd, ret;

	snprintf(temporary, sizeof(temporary), "%s.tmp", name);
	unlinkat(dirfd, temporary, 0);
	fd = openat(dirfd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	ret = ccr_io_write_full(fd, data, size);
	if (!ret && sync && fsync(fd))
		ret = -errno;
	if (close(fd) && !ret)
		ret = -errno;
	if (!ret && renameat(dirfd, temporary, dirfd, name))
		ret = -errno;
	if (ret) {
		unlinkat(dirfd, temporary, 0);
		return ret;
	}
	if (sync && fsync(dirfd)) {
		ret = -errno;
		unlinkat(dirfd, name, 0);
	}
	return ret;
}
