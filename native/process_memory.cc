// SPDX-License-Identifier: MIT
#include "process_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "completion_queue.h"
#include "smaps.h"

namespace ccr
{
namespace
{

using Cancel = std::shared_ptr<std::atomic<bool>>;

// Every reader: which process, and when to give up.
class Reader : public Operation
{
      public:
	Reader(int pid, Cancel cancel) : pid_(pid), cancel_(std::move(cancel))
	{
	}

	void Run() override
	{
		const int error = ReadSmaps(pid_, *cancel_, &mappings_);

		if (error)
			Fail("smaps", error);
		else
			Finish();
	}

      protected:
	virtual void Finish() = 0;

	void Fail(const char *file, int error)
	{
		const std::string path = "/proc/" + std::to_string(pid_) + "/" + file;

		failure = Failure{"system", path, path, error};
	}

	bool IsCancelled() const
	{
		return *cancel_;
	}

	static Napi::Value Bytes(Napi::Env env, uint64_t bytes)
	{
		return Napi::Number::New(env, static_cast<double>(bytes));
	}

	const int pid_;
	std::vector<Mapping> mappings_;

      private:
	const Cancel cancel_;
};

const char *const kind_names[] = {"privateAnonymous", "sharedAnonymous", "file", "device"};

class MemoryMap : public Reader
{
      public:
	MemoryMap(int pid, Cancel cancel, size_t largest)
	    : Reader(pid, std::move(cancel)), largest_(largest)
	{
	}

	Napi::Value Result(Napi::Env env) override
	{
		Napi::Object result = Napi::Object::New(env);
		Napi::Object kinds = Napi::Object::New(env);
		Napi::Array largest = Napi::Array::New(env, mappings_.size());

		for (size_t kind = 0; kind < std::size(kind_names); kind++)
			kinds.Set(kind_names[kind], ObjectOf(env, sums_[kind]));
		for (uint32_t i = 0; i < mappings_.size(); i++)
			largest.Set(i, ObjectOf(env, mappings_[i]));
		result.Set("kinds", kinds);
		result.Set("largest", largest);
		return result;
	}

      protected:
	// Only what becomes an object of JavaScript is kept.
	void Finish() override
	{
		for (const Mapping &mapping : mappings_) {
			Sum &sum = sums_[static_cast<size_t>(mapping.kind)];

			sum.mappings++;
			sum.size += mapping.end - mapping.start;
			sum.resident += mapping.resident;
			sum.huge += mapping.huge;
			sum.swapped += mapping.swapped;
		}
		const size_t kept = std::min(largest_, mappings_.size());
		std::partial_sort(
			mappings_.begin(), mappings_.begin() + kept, mappings_.end(),
			[](const Mapping &a, const Mapping &b) { return a.resident > b.resident; });
		mappings_.resize(kept);
	}

      private:
	struct Sum {
		uint64_t mappings = 0, size = 0, resident = 0, huge = 0, swapped = 0;
	};

	static Napi::Object ObjectOf(Napi::Env env, const Sum &sum)
	{
		Napi::Object object = Napi::Object::New(env);

		object.Set("mappings", Bytes(env, sum.mappings));
		object.Set("sizeBytes", Bytes(env, sum.size));
		object.Set("residentBytes", Bytes(env, sum.resident));
		object.Set("hugePageBytes", Bytes(env, sum.huge));
		object.Set("swappedBytes", Bytes(env, sum.swapped));
		return object;
	}

	static Napi::Object ObjectOf(Napi::Env env, const Mapping &mapping)
	{
		Napi::Object object = Napi::Object::New(env);

		object.Set("start", Napi::BigInt::New(env, mapping.start));
		object.Set("end", Napi::BigInt::New(env, mapping.end));
		object.Set("permissions", mapping.permissions);
		object.Set("path", mapping.path);
		object.Set("kind", kind_names[static_cast<size_t>(mapping.kind)]);
		object.Set("residentBytes", Bytes(env, mapping.resident));
		object.Set("hugePageBytes", Bytes(env, mapping.huge));
		object.Set("swappedBytes", Bytes(env, mapping.swapped));
		return object;
	}

	const size_t largest_;
	Sum sums_[std::size(kind_names)];
};

// Bits of an entry of pagemap (Documentation/admin-guide/mm/pagemap.rst of the kernel).
constexpr uint64_t kPresent = 1ULL << 63, kSwapped = 1ULL << 62, kFileOrShared = 1ULL << 61;
constexpr uint64_t kExclusive = 1ULL << 56, kSoftDirty = 1ULL << 55;

class MemoryPages : public Reader
{
      public:
	using Reader::Reader;

	Napi::Value Result(Napi::Env env) override
	{
		Napi::Object result = Napi::Object::New(env);

		result.Set("presentBytes", Bytes(env, present_ * page_));
		result.Set("swappedBytes", Bytes(env, swapped_ * page_));
		result.Set("fileOrSharedBytes", Bytes(env, file_or_shared_ * page_));
		result.Set("exclusiveBytes", Bytes(env, exclusive_ * page_));
		result.Set("softDirtyBytes", Bytes(env, soft_dirty_ * page_));
		return result;
	}

      protected:
	void Finish() override
	{
		const std::string path = "/proc/" + std::to_string(pid_) + "/pagemap";
		const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
		int error = fd < 0 ? errno : 0;

		// address space that is only reserved, as CUDA does by the terabyte, has no pages
		for (size_t i = 0; !error && i < mappings_.size(); i++)
			if (mappings_[i].resident || mappings_[i].swapped)
				error = Count(fd, mappings_[i]);
		if (fd >= 0)
			close(fd);
		if (error)
			Fail("pagemap", error);
		mappings_.clear();
	}

      private:
	int Count(int fd, const Mapping &mapping)
	{
		const uint64_t last = mapping.end / page_;

		for (uint64_t at = mapping.start / page_; at < last;) {
			const size_t wanted = std::min<uint64_t>(entries_.size(), last - at);

			if (IsCancelled())
				return ECANCELED;
			const ssize_t got = pread(fd, entries_.data(), wanted * sizeof(uint64_t),
						  static_cast<off_t>(at * sizeof(uint64_t)));
			if (got < 0 && errno != EINTR)
				return errno;
			if (!got)
				return 0; // not part of what a process can map
			const size_t nr = got < 0 ? 0 : got / sizeof(uint64_t);
			for (size_t i = 0; i < nr; i++)
				Add(entries_[i]);
			at += nr;
		}
		return 0;
	}

	void Add(uint64_t entry)
	{
		if (!(entry & (kPresent | kSwapped)))
			return;
		present_ += (entry & kPresent) != 0;
		swapped_ += (entry & kSwapped) != 0;
		file_or_shared_ += (entry & kFileOrShared) != 0;
		exclusive_ += (entry & kExclusive) != 0;
		soft_dirty_ += (entry & kSoftDirty) != 0;
	}

	const uint64_t page_ = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
	std::vector<uint64_t> entries_ = std::vector<uint64_t>(1 << 16);
	uint64_t present_ = 0, swapped_ = 0, file_or_shared_ = 0, exclusive_ = 0, soft_dirty_ = 0;
};

Napi::Value NewCancel(const Napi::CallbackInfo &info)
{
	auto *cancel = new Cancel(std::make_shared<std::atomic<bool>>(false));

	return Napi::External<Cancel>::New(info.Env(), cancel,
					   [](Napi::Env, Cancel *mine) { delete mine; });
}

Cancel CancelOf(const Napi::CallbackInfo &info, size_t at)
{
	if (info.Length() <= at || !info[at].IsExternal())
		throw Napi::TypeError::New(info.Env(), "expected what newCancel returned");
	return *info[at].As<Napi::External<Cancel>>().Data();
}

void CancelNow(const Napi::CallbackInfo &info)
{
	*CancelOf(info, 0) = true;
}

int PidOf(const Napi::CallbackInfo &info)
{
	if (info.Length() < 1 || !info[0].IsNumber())
		throw Napi::TypeError::New(info.Env(), "expected a pid");
	return info[0].As<Napi::Number>().Int32Value();
}

Napi::Value ReadMap(const Napi::CallbackInfo &info)
{
	const int pid = PidOf(info);

	if (info.Length() < 3 || !info[2].IsNumber())
		throw Napi::TypeError::New(info.Env(), "expected a number of mappings");
	const size_t largest = info[2].As<Napi::Number>().Uint32Value();
	return CompletionQueue::Start(info.Env(),
				      std::make_unique<MemoryMap>(pid, CancelOf(info, 1), largest));
}

Napi::Value ReadPages(const Napi::CallbackInfo &info)
{
	const int pid = PidOf(info);

	return CompletionQueue::Start(info.Env(),
				      std::make_unique<MemoryPages>(pid, CancelOf(info, 1)));
}

} // namespace

void AddProcessMemory(Napi::Env env, Napi::Object exports)
{
	exports.Set("newCancel", Napi::Function::New(env, NewCancel));
	exports.Set("cancel", Napi::Function::New(env, CancelNow));
	exports.Set("memoryMap", Napi::Function::New(env, ReadMap));
	exports.Set("memoryPages", Napi::Function::New(env, ReadPages));
}

} // namespace ccr
