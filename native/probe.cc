// SPDX-License-Identifier: MIT
#include "probe.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <memory>
#include <string>

#include "completion_queue.h"

extern "C" {
#include "common/driver/driver.h"
#include "common/protocol/protocol.h"
}

namespace ccr
{
namespace
{

// The beginning of a file of /proc, enough for stat and comm; empty when it is not there.
std::string ReadStart(const std::string &path)
{
	const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
	char text[512];

	if (fd < 0)
		return "";
	const ssize_t got = read(fd, text, sizeof(text));
	close(fd);
	return got > 0 ? std::string(text, static_cast<size_t>(got)) : "";
}

struct Stat {
	std::string comm;
	char state = 0; // 0: no such process or thread
	double start_time = 0;
};

// The command may hold spaces and brackets: fields are counted from the last one. The 3rd is the
// state, the 22nd the start time.
Stat ReadStat(const std::string &dir)
{
	const std::string text = ReadStart(dir + "/stat");
	const size_t open = text.find('('), close = text.rfind(')');
	Stat stat;

	if (open == std::string::npos || close == std::string::npos || close + 2 >= text.size())
		return stat;
	const char *field = text.c_str() + close + 2;
	stat.comm = text.substr(open + 1, close - open - 1);
	stat.state = *field;
	for (int number = 3; field && number < 22; number++) {
		field = strchr(field, ' ');
		field = field ? field + 1 : nullptr;
	}
	stat.start_time = field ? strtod(field, nullptr) : 0;
	return stat;
}

enum class Gate { kNone, kOpen, kClosed };

Gate GateOf(const std::string &thread_dir)
{
	const std::string comm = ReadStart(thread_dir + "/comm");

	if (comm == CCR_SERVICE_COMM "\n")
		return Gate::kOpen;
	return comm == CCR_SERVICE_COMM_GATED "\n" ? Gate::kClosed : Gate::kNone;
}

// What an earlier look found.
struct Known {
	double start_time = 0;
	int restore_tid = 0, service_tid = 0;
};

class Probe : public Operation
{
      public:
	Probe(const ccr_driver *driver, int pid, const Known &known)
	    : driver_(driver), pid_(pid), known_(known), dir_("/proc/" + std::to_string(pid))
	{
	}

	void Run() override
	{
		process_ = ReadStat(dir_);
		if (!process_.state)
			return;
		if (process_.start_time != known_.start_time)
			known_ = Known();
		AskDriver();
		if (result_ == CUDA_SUCCESS)
			FindService();
	}

	Napi::Value Result(Napi::Env env) override
	{
		Napi::Object probe = Napi::Object::New(env);

		if (!process_.state)
			return env.Null();
		probe.Set("startTime", process_.start_time);
		probe.Set("comm", process_.comm);
		probe.Set("mainState", std::string(1, process_.state));
		probe.Set("result", static_cast<int>(result_));
		probe.Set("state", state_);
		probe.Set("restoreTid", known_.restore_tid);
		probe.Set("serviceTid", known_.service_tid);
		probe.Set("isGated", gate_ == Gate::kClosed);
		return probe;
	}

      private:
	std::string ThreadDir(int tid) const
	{
		return dir_ + "/task/" + std::to_string(tid);
	}

	// The driver waits without limit for a restore thread that is stopped: not asked then.
	void AskDriver()
	{
		char thread =
			known_.restore_tid ? ReadStat(ThreadDir(known_.restore_tid)).state : 0;
		CUprocessState state = CU_PROCESS_STATE_RUNNING;

		if (!thread) {
			result_ = driver_->cuCheckpointProcessGetRestoreThreadId(
				pid_, &known_.restore_tid);
			if (result_ != CUDA_SUCCESS)
				return;
			thread = ReadStat(ThreadDir(known_.restore_tid)).state;
		}
		if (thread == 'T' || thread == 't')
			return;
		result_ = driver_->cuCheckpointProcessGetState(pid_, &state);
		if (result_ == CUDA_SUCCESS)
			state_ = static_cast<int>(state);
	}

	void FindService()
	{
		if (known_.service_tid < 0)
			return;
		if (known_.service_tid)
			gate_ = GateOf(ThreadDir(known_.service_tid));
		if (gate_ != Gate::kNone)
			return;
		known_.service_tid = 0;
		std::unique_ptr<DIR, int (*)(DIR *)> tasks(opendir((dir_ + "/task").c_str()),
							   closedir);
		while (const dirent *entry = tasks ? readdir(tasks.get()) : nullptr) {
			const int tid = atoi(entry->d_name);

			gate_ = tid ? GateOf(ThreadDir(tid)) : Gate::kNone;
			if (gate_ == Gate::kNone)
				continue;
			known_.service_tid = tid;
			return;
		}
	}

	const ccr_driver *const driver_;
	const int pid_;
	Known known_;
	const std::string dir_;
	Stat process_;
	CUresult result_ = CUDA_SUCCESS;
	int state_ = -1; // CUprocessState; -1: the restore thread is stopped
	Gate gate_ = Gate::kNone;
};

Napi::Value Start(const Napi::CallbackInfo &info)
{
	Known known;

	if (info.Length() < 5 || !info[0].IsExternal() || !info[1].IsNumber() ||
	    !info[2].IsNumber() || !info[3].IsNumber() || !info[4].IsNumber())
		throw Napi::TypeError::New(info.Env(), "expected a driver and four numbers");
	known.start_time = info[2].As<Napi::Number>().DoubleValue();
	known.restore_tid = info[3].As<Napi::Number>().Int32Value();
	known.service_tid = info[4].As<Napi::Number>().Int32Value();
	return CompletionQueue::Start(
		info.Env(),
		std::make_unique<Probe>(info[0].As<Napi::External<ccr_driver>>().Data(),
					info[1].As<Napi::Number>().Int32Value(), known));
}

} // namespace

void AddProbe(Napi::Env env, Napi::Object exports)
{
	exports.Set("probe", Napi::Function::New(env, Start));
}

} // namespace ccr
