// SPDX-License-Identifier: MIT
#include "executor.h"

#include <pthread.h>
#include <signal.h>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

namespace ccr
{
namespace
{

constexpr unsigned int kMaxThreads = 32;

struct Executor {
	std::mutex mutex;
	std::condition_variable more;
	std::deque<std::function<void()>> queue;
	unsigned int threads = 0, idle = 0;
};

// Never destroyed: threads wait in it while the process ends.
Executor &executor()
{
	static Executor *const the = new Executor;
	return *the;
}

void Work()
{
	Executor &e = executor();
	std::unique_lock<std::mutex> lock(e.mutex);

	pthread_setname_np(pthread_self(), "criu-cuda");
	for (;;) {
		e.idle++;
		e.more.wait(lock, [&] { return !e.queue.empty(); });
		e.idle--;
		auto work = std::move(e.queue.front());
		e.queue.pop_front();
		lock.unlock();
		work();
		work = nullptr;
		lock.lock();
	}
}

// The program's signals are for its own threads.
void StartThread()
{
	sigset_t all, before;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	try {
		std::thread(Work).detach();
	} catch (...) {
		pthread_sigmask(SIG_SETMASK, &before, nullptr);
		throw;
	}
	pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

} // namespace

void Execute(std::function<void()> work)
{
	Executor &e = executor();
	std::lock_guard<std::mutex> lock(e.mutex);

	if (e.idle <= e.queue.size() && e.threads < kMaxThreads) {
		try {
			StartThread();
			e.threads++;
		} catch (const std::system_error &) {
			if (!e.threads)
				throw;
		}
	}
	e.queue.push_back(std::move(work));
	e.more.notify_one();
}

} // namespace ccr
