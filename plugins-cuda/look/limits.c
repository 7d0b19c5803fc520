// SPDX-License-Identifier: MIT
/* Resource limits, and the environment with which the program was started. */
#include "look/process.h"

#include <string.h>

/* The kernel lets a program start with that much. */
#define MOST_ENVIRONMENT (6u << 20)

void ccr__look_limits(struct process *process, int root, struct text *text)
{
	process->max_address_space = process->max_descriptors = UINT64_MAX;
	if (ccr__text_read(text, TEXT_ALL, root, "proc/%d/limits", process->pid))
		return;
	process->max_address_space = ccr__text_number(text, "Max address space", UINT64_MAX);
	process->max_descriptors = ccr__text_number(text, "Max open files", UINT64_MAX);
}

static const char *value_of(const char *entry, const char *name)
{
	const size_t length = strlen(name);

	return !strncmp(entry, name, length) && entry[length] == '=' ? entry + length + 1 : NULL;
}

void ccr__look_environment(struct process *process, int root, struct text *text)
{
	/* The process says where it is in its memory, and how long. */
	if (ccr__text_read(text, MOST_ENVIRONMENT, root, "proc/%d/environ", process->pid))
		return;
	for (const char *entry = text->data; entry < text->data + text->length;
	     entry += strlen(entry) + 1) {
		const char *value;

		value = value_of(entry, "CUDA_INJECTION64_PATH");
		if (value && *value)
			process->evidence |= SEEN_INJECTION;
		value = value_of(entry, "CRIU_CUDA_INTERCEPT");
		if (value && *value && !strstr(value, "memory"))
			process->evidence |= SEEN_INTERCEPT_OFF;
	}
}
