// SPDX-License-Identifier: MIT
/* The command line of cuda-checkpoint: that of NVIDIA's program. */
#ifndef CCR_CUDA_CHECKPOINT_OPTIONS_H
#define CCR_CUDA_CHECKPOINT_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/protocol/device_map.h"

enum operation {
	OPERATION_NONE,
	OPERATION_HELP,
	OPERATION_STATE,
	OPERATION_RESTORE_TID,
	OPERATION_TOGGLE,
	OPERATION_LOCK,
	OPERATION_CHECKPOINT,
	OPERATION_RESTORE,
	OPERATION_UNLOCK,
};

struct options {
	enum operation operation;
	int pid;
	unsigned int timeout_ms; /* 0: no limit */
	bool has_timeout;
	struct ccr_device_map map; /* empty: every GPU keeps its memory */
};

/* Fills `options`. Returns 0, or -EINVAL after one line on stderr that names the option. */
int options_parse(struct options *options, int argc, char **argv);

/* Prints the help to stdout. */
void options_print_help(void);

#endif
