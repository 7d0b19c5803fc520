// SPDX-License-Identifier: MIT
/* Mappings tell which libraries and shared segments a process has. maps, not smaps: the kernel
 * walks no pages for it. */
#include "look/process.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/device_file.h"

/* torch keeps the counters of its shared CUDA tensors in files of this size, and nothing else. */
#define TORCH_SHARED	   "/dev/shm/torch_"
#define TORCH_COUNTERS_MIN 80000
#define TORCH_COUNTERS_MAX 86016

/* A file whose name, or with a slash whose path, begins with `prefix`. */
static const struct {
	const char *prefix;
	unsigned int evidence;
} files[] = {
	{"libcuda.so", SEEN_LIBCUDA},
	{"libcuda_intercept", SEEN_INTERCEPTOR},
	{"libnccl.so", SEEN_LIBNCCL},
	{"/dev/shm/nccl-", SEEN_NCCL_MEMORY},
	{"/dev/shm/cuda.shm.", SEEN_IPC_SEGMENT},
	{"anon_inode:[io_uring]", SEEN_IO_URING},
	{"/SYSV", SEEN_SYSV_SHM},
	{"libnvidia-ml.so", SEEN_NVML},
	{"libnvidia-glcore", SEEN_GRAPHICS},
	{"libnvidia-eglcore", SEEN_GRAPHICS},
	/* Nsight Systems, Nsight Compute, Compute Sanitizer */
	{"libToolsInjection", SEEN_PROFILER},
	{"libcuda-injection", SEEN_PROFILER},
	{"libTreeLauncherTargetInjection", SEEN_PROFILER},
	{"libInterceptorInjectionTarget", SEEN_PROFILER},
	{"libcupti.so", SEEN_CUPTI},
	{"libnvperf_", SEEN_NVPERF},
};

static bool begins(const char *text, const char *prefix)
{
	return !strncmp(text, prefix, strlen(prefix));
}

static void note_file(struct process *process, const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;

	if (ccr_device_path_is_drivers(path))
		process->evidence |= SEEN_GPU_MAPPING;
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		if (!begins(*files[i].prefix == '/' ? path : name, files[i].prefix))
			continue;
		process->evidence |= files[i].evidence;
		if (files[i].evidence == SEEN_PROFILER)
			snprintf(process->profiler, sizeof(process->profiler), "%s", name);
	}
}

static void note_shared_tensors(struct process *process, uint64_t bytes, uint64_t inode)
{
	if (bytes < TORCH_COUNTERS_MIN || bytes > TORCH_COUNTERS_MAX ||
	    process->nr_ipc_files == MAX_IPC_FILES)
		return;
	process->ipc_files[process->nr_ipc_files++] = inode;
}

/* "START-END PERMISSIONS OFFSET DEVICE INODE  PATH"; anonymous mappings have no path. */
static void note_mapping(struct process *process, char *line)
{
	char *path = strpbrk(line, "/["), *end;
	uint64_t start, stop;
	unsigned long inode;

	process->nr_mappings++;
	if (!path)
		return;
	if (*path == '[' && (path = strstr(line, "anon_inode:")) == NULL)
		return; /* [heap] and the like */
	note_file(process, path);
	start = strtoull(line, &end, 16);
	stop = strtoull(end + 1, NULL, 16);
	if (ccr_mailbox_is_in(line))
		process->mailbox_address = start;
	if (begins(path, TORCH_SHARED) && sscanf(line, "%*s %*s %*s %*s %lu", &inode) == 1)
		note_shared_tensors(process, stop - start, inode);
}

void ccr__look_maps(struct process *process, int root, struct text *text)
{
	char *rest, *line;

	if (ccr__text_read(text, TEXT_ALL, root, "proc/%d/maps", process->pid))
		return;
	rest = text->data;
	while ((line = ccr__text_line(&rest)))
		note_mapping(process, line);
}
