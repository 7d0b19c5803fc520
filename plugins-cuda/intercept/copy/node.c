// SPDX-License-Identifier: MIT
/*
 * Memory nodes, and where copying threads run: on the device's node if the
 * caller's CPU mask allows that, never outside that mask, and at least as nice as
 * the caller. All of this is best effort, and reads sysfs only.
 */
#include "intercept/copy/node.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MPOL_PREFERRED 1
#define MAX_NODES      1024

static bool parse(const char *list, cpu_set_t *cpus)
{
	for (;;) {
		unsigned long first, last;
		char *end;

		first = last = strtoul(list, &end, 10);
		if (end == list)
			return false;
		if (*end == '-') {
			list = end + 1;
			last = strtoul(list, &end, 10);
			if (end == list)
				return false;
		}
		if (last < first || last >= CPU_SETSIZE)
			return false;
		for (; first <= last; first++)
			CPU_SET(first, cpus);
		if (*end != ',')
			return !*end || *end == '\n';
		list = end + 1;
	}
}

bool ccr__node_parse(const char *list, cpu_set_t *cpus)
{
	CPU_ZERO(cpus);
	if (parse(list, cpus))
		return true;
	CPU_ZERO(cpus);
	return false;
}

static bool read_text(const char *path, char *text, size_t room)
{
	const int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t length;

	if (fd < 0)
		return false;
	length = read(fd, text, room - 1);
	close(fd);
	if (length <= 0)
		return false;
	text[length] = '\0';
	return true;
}

static int number_of(CUdevice ordinal)
{
	int domain, bus, slot;
	char path[96], text[16];

	if (ccr__real.cuDeviceGetAttribute(&domain, CU_DEVICE_ATTRIBUTE_PCI_DOMAIN_ID, ordinal) !=
		    CUDA_SUCCESS ||
	    ccr__real.cuDeviceGetAttribute(&bus, CU_DEVICE_ATTRIBUTE_PCI_BUS_ID, ordinal) !=
		    CUDA_SUCCESS ||
	    ccr__real.cuDeviceGetAttribute(&slot, CU_DEVICE_ATTRIBUTE_PCI_DEVICE_ID, ordinal) !=
		    CUDA_SUCCESS)
		return -1;
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%04x:%02x:%02x.0/numa_node", domain, bus,
		 slot);
	return read_text(path, text, sizeof(text)) ? (int)strtol(text, NULL, 10) : -1;
}

struct ccr__node ccr__node_of(CUdevice ordinal)
{
	struct ccr__node node = {.number = -1};
	char path[96], text[4096];

	/* There is only one node. */
	if (access("/sys/devices/system/node/node1", F_OK))
		return node;
	node.number = number_of(ordinal);
	if (node.number < 0 || node.number >= MAX_NODES) {
		node.number = -1;
		return node;
	}
	snprintf(path, sizeof(path), "/sys/devices/system/node/node%d/cpulist", node.number);
	if (!read_text(path, text, sizeof(text)) || !ccr__node_parse(text, &node.cpus))
		CPU_ZERO(&node.cpus);
	return node;
}

void ccr__node_prefer(const struct ccr__node *node, void *memory, size_t bytes)
{
	unsigned long mask[MAX_NODES / (8 * sizeof(unsigned long))] = {0};

	if (node->number < 0)
		return;
	mask[node->number / (8 * sizeof(mask[0]))] = 1ul << node->number % (8 * sizeof(mask[0]));
	syscall(SYS_mbind, memory, bytes, MPOL_PREFERRED, mask, MAX_NODES + 1, 0);
}

struct ccr__scheduling ccr__scheduling_of_caller(const struct ccr__node *node)
{
	struct ccr__scheduling scheduling = {.has_cpus = false};
	cpu_set_t both;

	scheduling.has_cpus = !sched_getaffinity(0, sizeof(scheduling.cpus), &scheduling.cpus);
	scheduling.nice = getpriority(PRIO_PROCESS, 0);
	if (!scheduling.has_cpus || node->number < 0)
		return scheduling;
	CPU_AND(&both, &scheduling.cpus, &node->cpus);
	if (CPU_COUNT(&both))
		scheduling.cpus = both;
	return scheduling;
}

void ccr__scheduling_apply(const struct ccr__scheduling *wanted, struct ccr__scheduling *had)
{
	if (wanted->has_cpus && !(had->has_cpus && CPU_EQUAL(&wanted->cpus, &had->cpus)))
		sched_setaffinity(0, sizeof(wanted->cpus), &wanted->cpus);
	/* On Linux, niceness is per thread. Without the privilege a thread stays nicer. */
	if (wanted->nice != had->nice)
		setpriority(PRIO_PROCESS, 0, wanted->nice);
	*had = *wanted;
}
