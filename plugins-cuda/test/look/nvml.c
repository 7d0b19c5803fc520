// SPDX-License-Identifier: MIT
/* An NVML with two GPUs, on which LOOK_TEST_NVML says who uses what: "PID:GPU:BYTES ...". */
#include <stdio.h>
#include <stdlib.h>

struct process_info {
	unsigned int pid;
	unsigned long long used;
	unsigned int gpu_instance, compute_instance;
};

int nvmlInit_v2(void);
int nvmlInit_v2(void)
{
	return 0;
}

int nvmlShutdown(void);
int nvmlShutdown(void)
{
	return 0;
}

int nvmlDeviceGetCount_v2(unsigned int *count);
int nvmlDeviceGetCount_v2(unsigned int *count)
{
	*count = 2;
	return 0;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned int index, void **device);
int nvmlDeviceGetHandleByIndex_v2(unsigned int index, void **device)
{
	*device = (char *)NULL + index;
	return 0;
}

int nvmlDeviceGetComputeRunningProcesses_v3(void *device, unsigned int *count,
					    struct process_info *infos);
int nvmlDeviceGetComputeRunningProcesses_v3(void *device, unsigned int *count,
					    struct process_info *infos)
{
	const char *uses = getenv("LOOK_TEST_NVML");
	unsigned int pid, index;
	unsigned long long bytes;
	int end;

	*count = 0;
	for (; uses && sscanf(uses, " %u:%u:%llu%n", &pid, &index, &bytes, &end) == 3; uses += end)
		if ((char *)device == (char *)NULL + index)
			infos[(*count)++] = (struct process_info){.pid = pid, .used = bytes};
	return 0;
}
