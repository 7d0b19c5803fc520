// SPDX-License-Identifier: MIT
#include "libc.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "readable.h"

#ifndef SYS_pidfd_open
// newer than the unified tables: the same number on every architecture
#define SYS_pidfd_open 434
#endif

namespace ccr
{
namespace
{

int OrErrno(long result)
{
	return result < 0 ? -errno : static_cast<int>(result);
}

int IntOf(const Napi::CallbackInfo &info, const char *expected)
{
	if (info.Length() < 1 || !info[0].IsNumber())
		throw Napi::TypeError::New(info.Env(), expected);
	return info[0].As<Napi::Number>().Int32Value();
}

Napi::Value GetChildSubreaper(const Napi::CallbackInfo &info)
{
	int value = 0;
	const int result = OrErrno(prctl(PR_GET_CHILD_SUBREAPER, &value, 0, 0, 0));

	return Napi::Number::New(info.Env(), result < 0 ? result : value);
}

Napi::Value SetChildSubreaper(const Napi::CallbackInfo &info)
{
	if (info.Length() < 1 || !info[0].IsBoolean())
		throw Napi::TypeError::New(info.Env(), "expected a boolean");
	const unsigned long value = info[0].As<Napi::Boolean>().Value();
	return Napi::Number::New(info.Env(),
				 OrErrno(prctl(PR_SET_CHILD_SUBREAPER, value, 0, 0, 0)));
}

// The kernel sets close-on-exec.
Napi::Value PidfdOpen(const Napi::CallbackInfo &info)
{
	const int pid = IntOf(info, "expected a pid");

	return Napi::Number::New(info.Env(), OrErrno(syscall(SYS_pidfd_open, pid, 0)));
}

// Does not wait.
Napi::Value Flock(const Napi::CallbackInfo &info)
{
	const int fd = IntOf(info, "expected a descriptor");

	if (info.Length() < 2 || !info[1].IsBoolean())
		throw Napi::TypeError::New(info.Env(), "expected a boolean");
	const bool exclusive = info[1].As<Napi::Boolean>().Value();
	return Napi::Number::New(info.Env(),
				 OrErrno(flock(fd, (exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB)));
}

// The next byte of a file's data, or of a hole. Moves the descriptor's position.
Napi::Value SeekData(const Napi::CallbackInfo &info)
{
	const int fd = IntOf(info, "expected a descriptor");

	if (info.Length() < 3 || !info[1].IsNumber() || !info[2].IsBoolean())
		throw Napi::TypeError::New(info.Env(), "expected a position and a boolean");
	const off_t from = info[1].As<Napi::Number>().Int64Value();
	const bool hole = info[2].As<Napi::Boolean>().Value();
	const off_t found = lseek(fd, from, hole ? SEEK_HOLE : SEEK_DATA);
	return Napi::Number::New(info.Env(), static_cast<double>(found < 0 ? -errno : found));
}

// { result, value }: the pid and its wait status; 0 while it runs; -errno.
Napi::Value WaitPid(const Napi::CallbackInfo &info)
{
	const int pid = IntOf(info, "expected a pid");
	Napi::Object answer = Napi::Object::New(info.Env());
	int status = 0;

	answer.Set("result", OrErrno(waitpid(pid, &status, WNOHANG)));
	answer.Set("value", status);
	return answer;
}

// A function that stops waiting; or -errno.
Napi::Value OnReadable(const Napi::CallbackInfo &info)
{
	const int fd = IntOf(info, "expected a descriptor");
	int error = 0;

	if (info.Length() < 2 || !info[1].IsFunction())
		throw Napi::TypeError::New(info.Env(), "expected a function");
	std::shared_ptr<Readable> readable =
		Readable::Watch(info.Env(), fd, info[1].As<Napi::Function>(), &error);
	if (!readable)
		return Napi::Number::New(info.Env(), error);
	return Napi::Function::New(info.Env(),
				   [readable](const Napi::CallbackInfo &) { readable->Stop(); });
}

// -errno, or nothing: then this process is another program. Node closes standard input, output and
// error on exec; they are kept.
Napi::Value Execv(const Napi::CallbackInfo &info)
{
	if (info.Length() < 2 || !info[1].IsArray())
		throw Napi::TypeError::New(info.Env(), "expected a path and arguments");
	const std::string path = info[0].ToString().Utf8Value();
	const Napi::Array given = info[1].As<Napi::Array>();
	std::vector<std::string> arguments;
	std::vector<char *> pointers;

	for (uint32_t i = 0; i < given.Length(); i++)
		arguments.push_back(given.Get(i).ToString().Utf8Value());
	for (std::string &argument : arguments)
		pointers.push_back(argument.data());
	pointers.push_back(nullptr);
	for (int fd = 0; fd <= 2; fd++)
		fcntl(fd, F_SETFD, 0);
	return Napi::Number::New(info.Env(), OrErrno(execv(path.c_str(), pointers.data())));
}

} // namespace

void AddLibc(Napi::Env env, Napi::Object exports)
{
	exports.Set("getChildSubreaper", Napi::Function::New(env, GetChildSubreaper));
	exports.Set("setChildSubreaper", Napi::Function::New(env, SetChildSubreaper));
	exports.Set("pidfdOpen", Napi::Function::New(env, PidfdOpen));
	exports.Set("flock", Napi::Function::New(env, Flock));
	exports.Set("seekData", Napi::Function::New(env, SeekData));
	exports.Set("waitpid", Napi::Function::New(env, WaitPid));
	exports.Set("onReadable", Napi::Function::New(env, OnReadable));
	exports.Set("execv", Napi::Function::New(env, Execv));
}

} // namespace ccr
