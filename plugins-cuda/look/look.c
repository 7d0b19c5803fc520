// SPDX-License-Identifier: MIT
#include "look/look.h"
#include "look/state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define REFUSE CCR_LOOK_REFUSE
#define GUESS  CCR_LOOK_GUESS
#define WARN   CCR_LOOK_WARN
const struct ccr_look_row ccr_look_rows[CCR_LOOK_NR_KINDS] = {
#define KIND(id, name, severity, text, remedy, carried) {name, severity, text, remedy, carried},
#include "look/kinds_list.h"
#undef KIND
};

const char *ccr_look_severity_name(enum ccr_look_severity severity)
{
	static const char *const names[] = {"refuse", "guess", "warn"};

	return names[severity];
}

void ccr__look_add(struct state *s, enum ccr_look_kind kind, pid_t pid, const char *format, ...)
{
	struct ccr_look_reason *reason;
	va_list args;

	if (ccr_look_rows[kind].carried)
		return;
	reason = ccr__list_add(&s->reasons, sizeof(*reason));
	if (!reason) {
		s->lacks_memory = true;
		return;
	}
	reason->kind = kind;
	reason->pid = pid;
	va_start(args, format);
	vsnprintf(reason->detail, sizeof(reason->detail), format, args);
	va_end(args);
}

const char *ccr__look_size(char *out, size_t size, uint64_t bytes)
{
	if (bytes >= 1ull << 30)
		snprintf(out, size, "%.1f GiB", bytes / (double)(1 << 30));
	else
		snprintf(out, size, "%.1f MiB", bytes / (double)(1 << 20));
	return out;
}

/* The driver hands all memory of a process over to the pool. */
static bool has_storage(const struct ccr_look_request *request)
{
	return request->driver && ccr_driver_has_storage(request->driver) &&
	       request->settings->storage != CCR_STORAGE_OFF;
}

bool ccr__look_is_copied(const struct state *s, const struct process *p)
{
	const bool is_taken = p->evidence & SEEN_SERVICE_THREAD &&
			      !(s->request->falls_back && ccr__look_is_foreign(p));
	const bool is_moved = s->request->uses_pool && s->request->settings->parallel_restore &&
			      (is_taken || has_storage(s->request));

	return p->has_cuda && !is_moved;
}

static bool is_known(const struct state *s, pid_t pid)
{
	each_process(p, s) if (p->pid == pid) return true;
	return false;
}

static void ask_driver(struct process *p, const struct ccr_driver *driver)
{
	int tid;

	if (!driver || !(p->evidence & (SEEN_LIBCUDA | SEEN_GPU)))
		return;
	switch (driver->cuCheckpointProcessGetRestoreThreadId(p->pid, &tid)) {
	case CUDA_SUCCESS:
		p->has_cuda = true;
		break;
	case CUDA_ERROR_NOT_INITIALIZED:
	case CUDA_ERROR_OPERATING_SYSTEM:
	case CUDA_ERROR_INVALID_VALUE:
		break;
	default:
		p->has_cuda = p->is_driver_silent = true;
	}
}

/* Children are found by the threads that started them. */
static int add_process(struct state *s, pid_t pid, struct list *children)
{
	struct process *p;

	if (is_known(s, pid))
		return 0;
	p = ccr__list_add(&s->processes, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->pid = pid;
	ccr__look_threads(p, s->root, &s->text, children);
	ccr__look_maps(p, s->root, &s->text);
	ccr__look_mailbox(p, s->root);
	ccr__look_descriptors(p, s->root, s->request->counts_connections ? &s->sockets : NULL);
	ccr__look_limits(p, s->root, &s->text);
	ccr_cgroups_of(&p->cgroups, s->root, p->pid, &s->text);
	if (p->evidence & (SEEN_LIBCUDA | SEEN_GPU))
		ccr__look_environment(p, s->root, &s->text);
	ask_driver(p, s->request->driver);
	/* What a process has does not show once its first thread has ended. */
	s->look->uses_cuda |=
		p->has_cuda || p->evidence & SEEN_GPU || (p->state == 'Z' && p->nr_threads > 1);
	s->look->nr_mappings += p->nr_mappings;
	s->look->nr_threads += p->nr_threads;
	s->nr_nccl += !!(p->evidence & SEEN_NCCL_THREAD);
	return 0;
}

static int read_tree(struct state *s)
{
	struct list pids = {0};
	pid_t *first = ccr__list_add(&pids, sizeof(*first));
	int ret = first ? 0 : -ENOMEM;

	if (first)
		*first = s->request->pid;
	for (size_t i = 0; !ret && i < pids.count; i++)
		ret = add_process(s, ((pid_t *)pids.items)[i], &pids);
	free(pids.items);
	return ret;
}

static void read_device_memory(struct state *s)
{
	const struct ccr_driver *driver = s->request->driver;

	if (!driver || ccr_nvml_list(driver->path, &s->uses, &s->nr_uses))
		return;
	each_process(p, s)
	{
		for (size_t i = 0; i < s->nr_uses; i++)
			p->device_bytes += s->uses[i].pid == p->pid ? s->uses[i].bytes : 0;
		s->look->device_bytes += p->device_bytes;
	}
}

static int note_pids(struct state *s)
{
	struct ccr_look *look = s->look;

	look->pids = calloc(s->processes.count, sizeof(*look->pids));
	if (!look->pids)
		return -ENOMEM;
	each_process(p, s) look->pids[look->nr_pids++] = p->pid;
	return 0;
}

static int look_at_tree(struct state *s)
{
	int ret = read_tree(s);

	if (ret)
		return ret;
	if (!((struct process *)s->processes.items)->state)
		return -ESRCH;
	ret = note_pids(s);
	if (ret)
		return ret;
	if (s->request->counts_connections)
		s->look->connections = ccr__look_connections(s);
	if (!s->look->uses_cuda)
		return 0;
	read_device_memory(s);
	each_process(p, s)
	{
		ccr__look_judge(s, p);
		ccr__look_judge_sharing(s, p);
	}
	ccr__look_judge_room(s);
	return 0;
}

static int look_at_images(struct state *s)
{
	ccr__look_judge_images(s);
	return 0;
}

static int look(const struct ccr_look_request *request, struct ccr_look *look,
		int (*how)(struct state *s))
{
	struct state s = {.request = request, .look = look};
	int ret;

	memset(look, 0, sizeof(*look));
	s.root = open(request->root ? request->root : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s.root < 0)
		return -errno;
	ret = how(&s);
	if (!ret && s.lacks_memory)
		ret = -ENOMEM;
	look->reasons = s.reasons.items;
	look->nr_reasons = s.reasons.count;
	close(s.root);
	ccr__text_free(&s.text);
	free(s.processes.items);
	free(s.sockets.inodes.items);
	free(s.uses);
	if (ret)
		ccr_look_free(look);
	return ret;
}

int ccr_look_at(const struct ccr_look_request *request, struct ccr_look *out)
{
	return look(request, out, look_at_tree);
}

int ccr_look_at_images(const struct ccr_look_request *request, struct ccr_look *out)
{
	return look(request, out, look_at_images);
}

bool ccr_look_refuses(const struct ccr_look *look, bool forced)
{
	for (size_t i = 0; i < look->nr_reasons; i++) {
		const enum ccr_look_severity severity =
			ccr_look_rows[look->reasons[i].kind].severity;

		if (severity == REFUSE || (severity == GUESS && !forced))
			return true;
	}
	return false;
}

const char *ccr_look_sentence(const struct ccr_look_reason *reason, char *out, size_t size)
{
	char who[32] = "the checkpoint";

	if (reason->pid)
		snprintf(who, sizeof(who), "%d", reason->pid);
	snprintf(out, size, "%s %s%s%s", who, ccr_look_rows[reason->kind].text,
		 *reason->detail ? ": " : "", reason->detail);
	return out;
}

void ccr_look_free(struct ccr_look *look)
{
	free(look->reasons);
	free(look->pids);
	memset(look, 0, sizeof(*look));
}
