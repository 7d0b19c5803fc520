// SPDX-License-Identifier: MIT
/*
 * Device memory that two processes share cannot be restored. The interceptor counts
 * imports and exports; without it, only the signs of a library that shares are left.
 * A loaded library tells nothing: torch always links NCCL.
 */
#include "look/state.h"

static bool shares_tensors(const struct process *a, const struct process *b)
{
	for (size_t i = 0; i < a->nr_ipc_files; i++)
		for (size_t k = 0; k < b->nr_ipc_files; k++)
			if (a->ipc_files[i] == b->ipc_files[k])
				return true;
	return false;
}

static void judge_tensors(struct state *s, const struct process *p)
{
	each_process(other, s)
	{
		if (other == p || !other->has_cuda || !shares_tensors(p, other))
			continue;
		ccr__look_add(s, CCR_LOOK_CUDA_IPC, p->pid, "%d maps the same torch counters",
			      other->pid);
		return;
	}
}

/* A communicator with one rank has threads, too, so it takes two processes with them. */
static void judge_nccl(struct state *s, const struct process *p)
{
	if (p->evidence & SEEN_NCCL_MEMORY)
		ccr__look_add(s, CCR_LOOK_NCCL, p->pid, "it maps /dev/shm/nccl-*");
	else if (p->evidence & SEEN_NCCL_THREAD && s->nr_nccl > 1)
		ccr__look_add(s, CCR_LOOK_NCCL, p->pid,
			      "it has NCCL's threads, and so do %zu other processes of the tree",
			      s->nr_nccl - 1);
}

static bool is_in_tree(const struct state *s, pid_t pid)
{
	for (size_t i = 0; i < s->look->nr_pids; i++)
		if (s->look->pids[i] == pid)
			return true;
	return false;
}

static bool uses_device(const struct state *s, pid_t pid, unsigned int device)
{
	for (size_t i = 0; i < s->nr_uses; i++)
		if (s->uses[i].pid == pid && s->uses[i].device == device)
			return true;
	return false;
}

static void judge_neighbors(struct state *s, const struct process *p)
{
	if (!s->request->keeps_running || !ccr__look_is_copied(s, p))
		return;
	for (size_t i = 0; i < s->nr_uses; i++) {
		const struct ccr_gpu_use *use = &s->uses[i];

		if (is_in_tree(s, use->pid) || !uses_device(s, p->pid, use->device))
			continue;
		ccr__look_add(s, CCR_LOOK_SHARED_GPU, p->pid, "%d on GPU %u", use->pid,
			      use->device);
		return;
	}
}

/* Its device memory goes through the pool. */
static bool is_moved(const struct state *s, const struct process *p)
{
	return p->mailbox.magic && !ccr__look_is_copied(s, p) &&
	       s->request->settings->storage != CCR_STORAGE_DRIVER;
}

/*
 * What processes of the tree share moves with them. The pool knows which import is which export,
 * and refuses what it cannot give back.
 */
static bool is_carried(const struct state *s, const struct process *p)
{
	uint64_t imports = 0, exports = 0;

	each_process(other, s)
	{
		imports += is_moved(s, other) ? other->mailbox.kept_imports : 0;
		exports += is_moved(s, other) ? other->mailbox.kept_exports : 0;
	}
	return imports && exports && is_moved(s, p) &&
	       p->mailbox.imports == p->mailbox.kept_imports &&
	       p->mailbox.exports == p->mailbox.kept_exports;
}

/*
 * The interceptor's events move, if all who share them do. The pool knows which are the same. A
 * handle that is on its way is opened by a process that has opened others before.
 */
static bool are_events_carried(const struct state *s, const struct process *p)
{
	uint64_t opens = 0, pages = 0;

	each_process(other, s)
	{
		if (other == p || !is_moved(s, other))
			continue;
		opens += other->mailbox.event_opens;
		pages += other->mailbox.event_pages;
	}
	return is_moved(s, p) && (opens || !p->mailbox.event_exports) &&
	       (pages || !p->mailbox.event_imports);
}

static void judge_events(struct state *s, const struct process *p)
{
	const struct ccr_mailbox *mailbox = &p->mailbox;

	if (mailbox->ipc_events)
		ccr__look_add(s, CCR_LOOK_IPC_EVENTS, p->pid,
			      "it shares %llu events with a process without the interceptor",
			      (unsigned long long)mailbox->ipc_events);
	else if (!mailbox->event_imports && !mailbox->event_exports)
		return;
	else if (!are_events_carried(s, p))
		ccr__look_add(s, CCR_LOOK_IPC_EVENTS, p->pid,
			      mailbox->event_imports
				      ? "it has opened events of a process outside the tree"
				      : "a process outside the tree may have opened its events");
}

static void judge_counters(struct state *s, const struct process *p)
{
	const struct ccr_mailbox *mailbox = &p->mailbox;

	if (mailbox->multicasts)
		ccr__look_add(s, CCR_LOOK_MULTICAST, p->pid, "it has made %llu of them",
			      (unsigned long long)mailbox->multicasts);
	judge_events(s, p);
	if (is_carried(s, p))
		return;
	if (mailbox->imports)
		ccr__look_add(s, CCR_LOOK_IMPORTED_MEMORY, p->pid,
			      "it has imported %llu allocations",
			      (unsigned long long)mailbox->imports);
	if (mailbox->exports)
		ccr__look_add(s, CCR_LOOK_EXPORTED_MEMORY, p->pid,
			      "it has exported %llu allocations",
			      (unsigned long long)mailbox->exports);
}

void ccr__look_judge_sharing(struct state *s, const struct process *p)
{
	if (!p->has_cuda)
		return;
	if (p->mailbox.magic) {
		judge_counters(s, p);
	} else {
		judge_nccl(s, p);
		judge_tensors(s, p);
		if (p->evidence & SEEN_IPC_SEGMENT)
			ccr__look_add(s, CCR_LOOK_IPC_SEGMENT, p->pid,
				      "it maps /dev/shm/cuda.shm.*");
	}
	judge_neighbors(s, p);
}
