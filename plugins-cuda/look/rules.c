// SPDX-License-Identifier: MIT
/* What one process of a tree that uses CUDA has, is and lacks. */
#include "look/state.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/protocol/protocol.h"
#include "common/run_dir.h"

/* What CRIU and the plugin may need in a process for a while. */
#define SPARE_DESCRIPTORS 16
#define SPARE_MAPPINGS	  256
#define SPARE_BYTES	  (4ull << 20)
/*
 * A process with the interceptor maps allocations that come back a second time, for a moment
 * and at most this much, and glibc reserves 64 MiB for each thread that allocates for the first
 * time: the service thread, and those of the driver.
 */
#define SPARE_ADOPTED (512ull << 20)
#define SPARE_ARENAS  (4 * (64ull << 20))

/* Whether a process is in the IPC namespace of this program. */
static bool shares_ipc(const struct state *s, pid_t pid)
{
	char path[40], theirs[40], ours[40];
	ssize_t n;

	snprintf(path, sizeof(path), "proc/%d/ns/ipc", pid);
	n = readlinkat(s->root, path, theirs, sizeof(theirs));
	return n > 0 && n == readlinkat(s->root, "proc/self/ns/ipc", ours, sizeof(ours)) &&
	       !memcmp(theirs, ours, n);
}

/*
 * Without CUDA, mappings of a device are those of graphics, or left by a fork: then the library
 * that made them is there, too. Nothing can be done with the latter.
 */
static bool maps_own_device(const struct process *p)
{
	return p->evidence & SEEN_GPU_MAPPING &&
	       (!(p->evidence & (SEEN_LIBCUDA | SEEN_NVML)) || p->evidence & SEEN_GRAPHICS);
}

static void judge_devices(struct state *s, const struct process *p)
{
	static const struct {
		unsigned int evidence;
		enum ccr_look_kind kind;
	} held[] = {
		{SEEN_IO_URING, CCR_LOOK_IO_URING}, {SEEN_PERF_EVENT, CCR_LOOK_PERF_EVENT},
		{SEEN_POSIX_MQ, CCR_LOOK_POSIX_MQ}, {SEEN_RDMA, CCR_LOOK_RDMA},
		{SEEN_GDRCOPY, CCR_LOOK_GDRCOPY},   {SEEN_NVIDIA_FS, CCR_LOOK_NVIDIA_FS},
	};

	for (size_t i = 0; i < sizeof(held) / sizeof(held[0]); i++)
		if (p->evidence & held[i].evidence)
			ccr__look_found(s, held[i].kind, p->pid);
	/* CRIU dumps what belongs to a namespace that it dumps, too. */
	if (p->evidence & SEEN_SYSV_SHM && shares_ipc(s, p->pid))
		ccr__look_found(s, CCR_LOOK_SYSV_SHM, p->pid);
	if (s->request->driver && !p->has_cuda && maps_own_device(p))
		ccr__look_found(s, CCR_LOOK_DEVICE_MAPPING, p->pid);
	if (!(p->evidence & SEEN_GPU))
		return;
	if (!s->request->driver)
		ccr__look_add(s, CCR_LOOK_DRIVER, p->pid, "%s",
			      s->request->driver_error ? s->request->driver_error : "");
	else if (!p->has_cuda)
		ccr__look_found(s, CCR_LOOK_FORKED_CHILD, p->pid);
}

static void judge_profiler(struct state *s, const struct process *p)
{
	if (!p->has_cuda)
		return;
	if (p->evidence & SEEN_PROFILER)
		ccr__look_add(s, CCR_LOOK_PROFILER, p->pid, "%s is loaded", p->profiler);
	else if (p->evidence & SEEN_INJECTION)
		ccr__look_add(s, CCR_LOOK_PROFILER_GUESS, p->pid, "CUDA_INJECTION64_PATH is set");
	else if (p->evidence & SEEN_CUPTI && p->evidence & SEEN_NVPERF)
		ccr__look_add(s, CCR_LOOK_PROFILER_GUESS, p->pid,
			      "CUPTI's profiling library is loaded");
}

static void judge_state(struct state *s, const struct process *p)
{
	if (ccr_cgroups_frozen(&p->cgroups, s->root, &s->text))
		ccr__look_found(s, CCR_LOOK_FROZEN, p->pid);
	/* CRIU dumps a stopped process, but the driver waits for its restore thread forever. */
	if (p->has_cuda && p->stopped_tid)
		ccr__look_found(s, CCR_LOOK_STOPPED, p->pid);
	if (p->tracer)
		ccr__look_add(s, CCR_LOOK_TRACED, p->pid, "%d traces its thread %d", p->tracer,
			      p->traced_tid);
}

static uint64_t added_address_space(const struct state *s, const struct process *p)
{
	const uint64_t copied = ccr__look_is_copied(s, p) ? p->device_bytes : 0;

	if (!p->mailbox.magic)
		return copied + SPARE_BYTES;
	return copied + SPARE_BYTES + SPARE_ARENAS +
	       (p->device_bytes < SPARE_ADOPTED ? p->device_bytes : SPARE_ADOPTED);
}

static void judge_limits(struct state *s, const struct process *p)
{
	uint64_t max_mappings;

	if (p->has_cuda && p->max_address_space != UINT64_MAX &&
	    p->address_space + added_address_space(s, p) > p->max_address_space) {
		char size[32];

		ccr__look_add(s, CCR_LOOK_ADDRESS_SPACE, p->pid, "RLIMIT_AS is %s",
			      ccr__look_size(size, sizeof(size), p->max_address_space));
	}
	if (p->nr_descriptors + SPARE_DESCRIPTORS > p->max_descriptors)
		ccr__look_add(s, CCR_LOOK_DESCRIPTORS, p->pid, "%zu of %llu", p->nr_descriptors,
			      (unsigned long long)p->max_descriptors);
	ccr__text_read(&s->text, TEXT_ALL, s->root, "proc/sys/vm/max_map_count");
	max_mappings = ccr__text_number(&s->text, "", UINT64_MAX);
	if (p->nr_mappings + SPARE_MAPPINGS > max_mappings)
		ccr__look_add(s, CCR_LOOK_MAPPINGS, p->pid, "%zu of %llu", p->nr_mappings,
			      (unsigned long long)max_mappings);
}

/* Before there was a mailbox, it was 2. */
static uint32_t protocol_of(const struct process *p)
{
	return p->mailbox_address ? p->mailbox.protocol : 2;
}

bool ccr__look_is_foreign(const struct process *p)
{
	const bool is_unread = p->mailbox_address && !p->mailbox.magic;

	return !is_unread && !ccr_protocol_is_supported(protocol_of(p));
}

static void judge_protocol(struct state *s, const struct process *p)
{
	if (ccr__look_is_foreign(p))
		ccr__look_add(s,
			      s->request->falls_back ? CCR_LOOK_FOREIGN_INTERCEPTOR
						     : CCR_LOOK_PROTOCOL,
			      p->pid, "it speaks protocol %u, this version understands %s",
			      protocol_of(p), ccr_protocol_range());
}

static void judge_interceptor(struct state *s, const struct process *p)
{
	if (!s->request->uses_pool || !s->request->settings->parallel_restore || !p->has_cuda ||
	    !(p->evidence & SEEN_INTERCEPTOR))
		return;
	if (p->evidence & SEEN_SERVICE_THREAD)
		judge_protocol(s, p);
	/* A process that uses NVML alone is one of CUDA for the driver, but has never called
	 * cuInit. */
	else if (!(p->evidence & SEEN_INTERCEPT_OFF) && (p->mailbox_address || p->device_bytes))
		ccr__look_found(s, CCR_LOOK_SERVICE_THREAD, p->pid);
}

/* The status file is in the run directory, and the daemon's sockets. */
static void judge_run_dir(struct state *s)
{
	const struct ccr_settings *settings = s->request->settings;
	const size_t room = sizeof(((struct sockaddr_un *)NULL)->sun_path);
	char why[256];
	const int fd = ccr_run_dir_open(settings->run_dir, why, sizeof(why));

	if (fd >= 0)
		close(fd);
	if (fd == -EPERM)
		ccr__look_add(s, CCR_LOOK_RUN_DIR_REFUSED, s->request->pid, "%.100s: %.*s",
			      settings->run_dir, (int)strcspn(why, ";"), why);

	if (s->request->uses_daemon && settings->context_pool &&
	    strlen(settings->run_dir) + strlen("/" CCR_CONTROL_SOCKET) + 1 > room)
		ccr__look_add(s, CCR_LOOK_RUN_DIR, s->request->pid, "%.100s…", settings->run_dir);
}

void ccr__look_judge(struct state *s, const struct process *p)
{
	const bool is_root = p == s->processes.items;

	if (is_root)
		judge_run_dir(s);
	if (p->state == 'Z' || p->state == 'X') {
		/* CRIU dumps the zombies among the descendants. */
		if (is_root || p->nr_threads > 1)
			ccr__look_found(s, CCR_LOOK_DEAD_LEADER, p->pid);
		return;
	}
	judge_devices(s, p);
	judge_profiler(s, p);
	judge_state(s, p);
	judge_limits(s, p);
	judge_interceptor(s, p);
}
