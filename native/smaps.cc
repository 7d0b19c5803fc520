// SPDX-License-Identifier: MIT
#include "smaps.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <memory>

namespace ccr
{
namespace
{

bool StartsWith(const std::string &text, const char *prefix)
{
	return text.compare(0, strlen(prefix), prefix) == 0;
}

MappingKind KindOf(const Mapping &mapping)
{
	const bool is_shared = mapping.permissions.size() > 3 && mapping.permissions[3] == 's';
	const std::string &path = mapping.path;

	if (is_shared && (path == "/dev/zero (deleted)" || StartsWith(path, "/SYSV") ||
			  StartsWith(path, "/memfd:")))
		return MappingKind::kSharedAnonymous;
	if (StartsWith(path, "/dev/") && !StartsWith(path, "/dev/shm/") &&
	    !StartsWith(path, "/dev/zero"))
		return MappingKind::kDevice;
	if (path.empty() || path[0] != '/')
		return MappingKind::kPrivateAnonymous;
	return MappingKind::kFile;
}

// "7f00-7f40 rw-p 0000 08:01 77    /a file": nothing but a path has more words.
bool ParseHeader(const char *line, Mapping *mapping)
{
	char permissions[8];
	int path = 0;

	if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %7s %*x %*s %*u %n", &mapping->start,
		   &mapping->end, permissions, &path) != 3 ||
	    !path)
		return false;
	mapping->permissions = permissions;
	mapping->path.assign(line + path, strcspn(line + path, "\n"));
	mapping->kind = KindOf(*mapping);
	return true;
}

// "Rss:      123 kB"
void AddField(const char *line, Mapping *mapping)
{
	static const struct {
		const char *name;
		uint64_t Mapping::*sum, Mapping::*also;
	} fields[] = {
		{"Rss:", &Mapping::resident, nullptr},
		{"Swap:", &Mapping::swapped, nullptr},
		{"AnonHugePages:", &Mapping::huge, nullptr},
		{"ShmemPmdMapped:", &Mapping::huge, nullptr},
		{"FilePmdMapped:", &Mapping::huge, nullptr},
		{"Shared_Hugetlb:", &Mapping::huge, &Mapping::resident},
		{"Private_Hugetlb:", &Mapping::huge, &Mapping::resident},
	};

	for (const auto &field : fields) {
		const size_t length = strlen(field.name);

		if (strncmp(line, field.name, length))
			continue;
		const uint64_t bytes = strtoull(line + length, nullptr, 10) << 10;
		mapping->*field.sum += bytes;
		if (field.also)
			mapping->*field.also += bytes;
		return;
	}
}

} // namespace

int ReadSmaps(int pid, const std::atomic<bool> &is_cancelled, std::vector<Mapping> *mappings)
{
	const std::string path = "/proc/" + std::to_string(pid) + "/smaps";
	const std::unique_ptr<FILE, int (*)(FILE *)> file(fopen(path.c_str(), "re"), fclose);
	char *line = nullptr;
	size_t size = 0;
	int result = 0;

	if (!file)
		return errno;
	errno = 0;
	while (getline(&line, &size, file.get()) >= 0) {
		// names of fields begin with a capital completion
		if (line[0] < 'A' || line[0] > 'Z') {
			Mapping mapping;

			if (is_cancelled) {
				result = ECANCELED;
				break;
			}
			if (ParseHeader(line, &mapping))
				mappings->push_back(std::move(mapping));
		} else if (!mappings->empty()) {
			AddField(line, &mappings->back());
		}
	}
	if (!result && ferror(file.get()))
		result = errno ? errno : EIO;
	free(line);
	return result;
}

} // namespace ccr
