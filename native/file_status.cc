// SPDX-License-Identifier: MIT
#include "file_status.h"

#include <errno.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

namespace ccr
{
namespace
{

// Numbers for each path; lib/native/types.ts has their names. A mode of 0: there is nothing.
constexpr size_t kFields = 9;

// A look at one path takes microseconds, as does a thread's start: more threads would gain nothing.
constexpr size_t kMostThreads = 8;
constexpr size_t kPathsOfThread = 64;

// As Node computes it: the result is compared with what Node has told.
double Milliseconds(const struct timespec &time)
{
	return static_cast<double>(time.tv_sec) * 1000 + static_cast<double>(time.tv_nsec) / 1e6;
}

void Look(const char *path, double *fields)
{
	struct stat found;

	if (lstat(path, &found))
		return;
	const double values[kFields] = {
		static_cast<double>(found.st_mode),  static_cast<double>(found.st_size),
		static_cast<double>(found.st_dev),   static_cast<double>(found.st_ino),
		static_cast<double>(found.st_nlink), static_cast<double>(found.st_uid),
		static_cast<double>(found.st_gid),   Milliseconds(found.st_mtim),
		Milliseconds(found.st_ctim),
	};

	std::copy(values, values + kFields, fields);
}

void LookAtAll(const std::vector<const char *> &paths, double *fields)
{
	const size_t processors = std::max(1u, std::thread::hardware_concurrency());
	const size_t useful = paths.size() / kPathsOfThread;
	std::atomic<size_t> next = 0;
	std::vector<std::thread> others;
	const auto work = [&] {
		for (size_t i; (i = next++) < paths.size();)
			Look(paths[i], fields + i * kFields);
	};

	try {
		while (others.size() + 1 < std::min({kMostThreads, processors, useful}))
			others.emplace_back(work);
	} catch (const std::system_error &) {
		// a limit of threads: those that there are do it
	}
	work();
	for (std::thread &other : others)
		other.join();
}

// The paths in one string, each with a NUL behind it: thousands of strings would take longer to
// get than the files to look at.
Napi::Value FileStatus(const Napi::CallbackInfo &info)
{
	if (info.Length() < 1 || !info[0].IsString())
		throw Napi::TypeError::New(info.Env(), "expected paths");
	const std::string text = info[0].As<Napi::String>().Utf8Value();
	std::vector<const char *> paths;

	for (size_t at = 0; at < text.size(); at = text.find('\0', at) + 1)
		paths.push_back(text.data() + at);
	Napi::Float64Array fields = Napi::Float64Array::New(info.Env(), paths.size() * kFields);
	LookAtAll(paths, fields.Data());
	return fields;
}

} // namespace

void AddFileStatus(Napi::Env env, Napi::Object exports)
{
	exports.Set("fileStatus", Napi::Function::New(env, FileStatus));
}

} // namespace ccr
