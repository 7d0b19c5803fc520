// SPDX-License-Identifier: MIT
// libnvidia-ml.so.1 for the software devices, with the calls that the addon uses. It opens no
// device memory and starts no thread, so a program that only queries does not become a CUDA
// program. A device handle is the device number + 1. SOFTCUDA_NVML_FAIL=<function>:<code> makes
// that function fail.
#include "softcuda/impl.h"
#include "softcuda/nvml/nvml.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NVML_SUCCESS		     0
#define NVML_ERROR_UNINITIALIZED     1
#define NVML_ERROR_INVALID_ARGUMENT  2
#define NVML_ERROR_INSUFFICIENT_SIZE 7
#define NVML_ERROR_DRIVER_NOT_LOADED 9

#define EXPORT __attribute__((visibility("default")))

typedef struct nvmlDevice_st *nvmlDevice_t;

struct memory {
	unsigned long long total, free, used;
};

struct pci_info {
	char legacy[16];
	unsigned int domain, bus, device, device_id, subsystem_id;
	char id[32];
};

struct process_info {
	unsigned int pid;
	unsigned long long used;
	unsigned int gpu_instance, compute_instance;
};

// Between the first nvmlInit and the last nvmlShutdown, the process has the driver's device file
// open. As on hardware, a restore changes nothing for it.
static struct {
	pthread_mutex_t lock;
	unsigned int references;
} client = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void client_begin(void)
{
	pthread_mutex_lock(&client.lock);
	if (!client.references++)
		ccr_node_open();
	pthread_mutex_unlock(&client.lock);
}

static bool client_end(void)
{
	bool is_client;

	pthread_mutex_lock(&client.lock);
	is_client = client.references > 0;
	if (is_client && !--client.references)
		ccr_node_close();
	pthread_mutex_unlock(&client.lock);
	return is_client;
}

static bool is_client(void)
{
	bool result;

	pthread_mutex_lock(&client.lock);
	result = client.references > 0;
	pthread_mutex_unlock(&client.lock);
	return result;
}

static int injected(const char *function)
{
	const char *text = getenv("SOFTCUDA_NVML_FAIL");
	const size_t length = strlen(function);

	if (!text || strncmp(text, function, length) || text[length] != ':')
		return NVML_SUCCESS;
	return atoi(text + length + 1);
}

static int begin(const char *function)
{
	return is_client() ? injected(function) : NVML_ERROR_UNINITIALIZED;
}

// The device's number, or -1.
static int number_of(nvmlDevice_t device)
{
	const uintptr_t handle = (uintptr_t)device;

	return handle && handle <= (uintptr_t)ccr_soft_settings()->nr_devices ? (int)handle - 1
									      : -1;
}

static int begin_device(const char *function, nvmlDevice_t device)
{
	const int result = begin(function);

	if (result != NVML_SUCCESS)
		return result;
	return number_of(device) < 0 ? NVML_ERROR_INVALID_ARGUMENT : NVML_SUCCESS;
}

static int put_text(char *out, unsigned int length, const char *text)
{
	if (!out)
		return NVML_ERROR_INVALID_ARGUMENT;
	return (size_t)snprintf(out, length, "%s", text) < length ? NVML_SUCCESS
								  : NVML_ERROR_INSUFFICIENT_SIZE;
}

EXPORT int nvmlInit_v2(void);
int nvmlInit_v2(void)
{
	const int result = injected("nvmlInit_v2");

	if (result != NVML_SUCCESS)
		return result;
	if (!ccr_soft_settings()->valid)
		return NVML_ERROR_DRIVER_NOT_LOADED;
	client_begin();
	return NVML_SUCCESS;
}

EXPORT int nvmlShutdown(void);
int nvmlShutdown(void)
{
	return client_end() ? NVML_SUCCESS : NVML_ERROR_UNINITIALIZED;
}

EXPORT int nvmlSystemGetDriverVersion(char *version, unsigned int length);
int nvmlSystemGetDriverVersion(char *version, unsigned int length)
{
	const int result = begin("nvmlSystemGetDriverVersion");

	return result != NVML_SUCCESS ? result : put_text(version, length, "softcuda " CCR_VERSION);
}

EXPORT int nvmlSystemGetCudaDriverVersion_v2(int *version);
int nvmlSystemGetCudaDriverVersion_v2(int *version)
{
	const int result = begin("nvmlSystemGetCudaDriverVersion_v2");

	if (result == NVML_SUCCESS)
		*version = ccr_soft_settings()->driver_version;
	return result;
}

EXPORT int nvmlDeviceGetCount_v2(unsigned int *count);
int nvmlDeviceGetCount_v2(unsigned int *count)
{
	const int result = begin("nvmlDeviceGetCount_v2");

	if (result == NVML_SUCCESS)
		*count = (unsigned int)ccr_soft_settings()->nr_devices;
	return result;
}

EXPORT int nvmlDeviceGetHandleByIndex_v2(unsigned int index, nvmlDevice_t *device);
int nvmlDeviceGetHandleByIndex_v2(unsigned int index, nvmlDevice_t *device)
{
	const int result = begin("nvmlDeviceGetHandleByIndex_v2");

	if (result != NVML_SUCCESS)
		return result;
	if (index >= (unsigned int)ccr_soft_settings()->nr_devices)
		return NVML_ERROR_INVALID_ARGUMENT;
	*device = (nvmlDevice_t)(uintptr_t)(index + 1);
	return NVML_SUCCESS;
}

EXPORT int nvmlDeviceGetUUID(nvmlDevice_t device, char *uuid, unsigned int length);
int nvmlDeviceGetUUID(nvmlDevice_t device, char *uuid, unsigned int length)
{
	const int result = begin_device("nvmlDeviceGetUUID", device);
	char text[64] = "GPU-";
	size_t at = 4;
	CUuuid id;

	if (result != NVML_SUCCESS)
		return result;
	ccr_device_uuid(number_of(device), &id);
	for (int i = 0; i < 16; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%02x",
				       i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "",
				       (unsigned char)id.bytes[i]);
	return put_text(uuid, length, text);
}

EXPORT int nvmlDeviceGetName(nvmlDevice_t device, char *name, unsigned int length);
int nvmlDeviceGetName(nvmlDevice_t device, char *name, unsigned int length)
{
	const int result = begin_device("nvmlDeviceGetName", device);
	char text[64];

	if (result != NVML_SUCCESS)
		return result;
	SOFT(cuDeviceGetName)(text, sizeof(text), number_of(device));
	return put_text(name, length, text);
}

EXPORT int nvmlDeviceGetMemoryInfo(nvmlDevice_t device, struct memory *memory);
int nvmlDeviceGetMemoryInfo(nvmlDevice_t device, struct memory *memory)
{
	const int result = begin_device("nvmlDeviceGetMemoryInfo", device);
	struct ccr_nvml_process processes[CCR_NVML_MAX_PROCESSES];
	size_t count;

	if (result != NVML_SUCCESS)
		return result;
	memory->total = ccr_soft_settings()->memory_bytes;
	memory->used = 0;
	count = ccr_nvml_processes(number_of(device), processes);
	for (size_t i = 0; i < count; i++)
		memory->used += processes[i].bytes;
	memory->free = memory->used < memory->total ? memory->total - memory->used : 0;
	return NVML_SUCCESS;
}

EXPORT int nvmlDeviceGetPciInfo_v3(nvmlDevice_t device, struct pci_info *pci);
int nvmlDeviceGetPciInfo_v3(nvmlDevice_t device, struct pci_info *pci)
{
	const int result = begin_device("nvmlDeviceGetPciInfo_v3", device);

	if (result != NVML_SUCCESS)
		return result;
	memset(pci, 0, sizeof(*pci));
	pci->domain = 0xffff;
	pci->bus = (unsigned int)number_of(device);
	snprintf(pci->legacy, sizeof(pci->legacy), "%04X:%02X:00.0", pci->domain, pci->bus & 0xff);
	snprintf(pci->id, sizeof(pci->id), "%08X:%02X:00.0", pci->domain, pci->bus & 0xff);
	return NVML_SUCCESS;
}

// Software devices have no PCIe link.
#define LINK(name)                                                              \
	EXPORT int name(nvmlDevice_t device, unsigned int *value);              \
	int name(nvmlDevice_t device, unsigned int *value)                      \
	{                                                                       \
		const int result = begin_device(#name, device);                 \
                                                                                \
		return result != NVML_SUCCESS ? result : 3; /* not supported */ \
	}

LINK(nvmlDeviceGetCurrPcieLinkGeneration)
LINK(nvmlDeviceGetMaxPcieLinkGeneration)
LINK(nvmlDeviceGetCurrPcieLinkWidth)
LINK(nvmlDeviceGetMaxPcieLinkWidth)

EXPORT int nvmlDeviceGetComputeRunningProcesses_v3(nvmlDevice_t device, unsigned int *count,
						   struct process_info *infos);
int nvmlDeviceGetComputeRunningProcesses_v3(nvmlDevice_t device, unsigned int *count,
					    struct process_info *infos)
{
	const int result = begin_device("nvmlDeviceGetComputeRunningProcesses_v3", device);
	struct ccr_nvml_process processes[CCR_NVML_MAX_PROCESSES];
	const unsigned int room = result == NVML_SUCCESS ? *count : 0;

	if (result != NVML_SUCCESS)
		return result;
	*count = (unsigned int)ccr_nvml_processes(number_of(device), processes);
	if (*count > room)
		return NVML_ERROR_INSUFFICIENT_SIZE;
	for (unsigned int i = 0; i < *count; i++)
		infos[i] = (struct process_info){.pid = (unsigned int)processes[i].pid,
						 .used = processes[i].bytes,
						 .gpu_instance = ~0u,
						 .compute_instance = ~0u};
	return NVML_SUCCESS;
}
