/* SPDX-License-Identifier: MIT */
/*
 * criu-cuda-start NODE PROGRAM [WORD]...: becomes NODE with the program, as the launcher would
 * without it. Before that it starts the pool's helper, whose driver starts while Node does, where
 * `restore DIR` or `checkpoint PID DIR` will most likely use one. Node takes the helper over if it
 * is the one that it would have started (lib/pool/started-helper.ts), and ends it otherwise: what
 * is guessed here decides about time alone.
 */
#ifndef CCR_START_H
#define CCR_START_H

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

/* What was typed, as far as the helper is concerned. */
struct typed {
	bool is_restore;	/* or else a dump */
	const char *images_dir; /* as it was typed */
	const char *libdir;	/* of the plugin; NULL: Node chooses */
	pid_t pid;		/* to dump */
};

/* words.c: reads the words of a command line. Returns false where a helper may be of no use: it is
 * another command, or there is an option that may choose another plugin, or one that is not known.
 */
bool start_read_words(char *const words[], struct typed *typed);

/* choose.c: finds the helper's program. Returns false where it is not to be started. */
bool start_choose(const struct typed *typed, char program[PATH_MAX]);

#endif
