/* SPDX-License-Identifier: MIT */
/*
 * criu-cuda-run: starts a program so that it can be dumped.
 *
 * CRIU dumps the leader of a session without further flags. If the caller leads one that has no
 * terminal, as a service of systemd or the first process of a container, this process becomes the
 * program. Otherwise the program is a child with a session of its own, and this process stays as
 * its supervisor: a shell's job belongs to the shell's session, and a leader of a process group
 * cannot begin another one. The program has no controlling terminal, as before.
 */
#ifndef CCR_LAUNCH_H
#define CCR_LAUNCH_H

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

/* What was asked for on the command line. */
struct launch {
	char **argv; /* the program and its arguments, NULL at the end */
	char **env;  /* KEY=VALUE for the program, NULL at the end */
	const char *
		log; /* file for stdout and stderr; NULL: they are kept, or /dev/null if detached */
	pid_t parent_of_node; /* 0: Node has changed nothing */
	int report; /* for the reason if the program is not started, else closed; -1: stderr */
	bool allows_io_uring, detaches, is_quiet, prints_json;
};

/* What the program gets back although this process changed it. */
struct launch_origin {
	sigset_t mask;
	void (*on_child)(int);
	int messages; /* stderr of the caller, close-on-exec */
	int answers;  /* its stdout, close-on-exec */
};

/* Exit code after wrong use, and when the program cannot be started. */
enum { LAUNCH_USAGE = 2 };

/* main.c: a line for the caller, and the error that `program` was not started for. */
void launch_say(const struct launch *launch, const struct launch_origin *origin, const char *format,
		...) __attribute__((format(printf, 3, 4)));
void launch_fail(const struct launch *launch, const struct launch_origin *origin,
		 const char *format, ...) __attribute__((format(printf, 3, 4)));
/* The pid to dump: on stderr, or as JSON on stdout. */
void launch_say_pid(const struct launch *launch, const struct launch_origin *origin, int pid);

/*
 * reset.c: undoes what Node changes in its own process: signal dispositions and mask, O_NONBLOCK
 * of stdin, stdout and stderr, open descriptors (all are closed but `report`), and the limit of
 * descriptors, which becomes that of Node's parent when only the soft limit differs.
 */
void launch_reset(pid_t parent_of_node, int report);

/*
 * filter.c: lets io_uring_setup fail with ENOSYS in this process and its descendants.
 * `*gained_no_new_privs` is set if that was necessary, which is without CAP_SYS_ADMIN.
 * Returns 0 or -errno.
 */
int launch_filter_io_uring(bool *gained_no_new_privs);

/*
 * generation.c: creates the file of this process, which becomes the program, and names it in the
 * environment; returns 0 or -errno. The other removes that of a program that has ended.
 */
int launch_begin_generation(void);
void launch_end_generation(pid_t pid);

/* become.c: becomes the program. Returns only after launch_fail(). */
void launch_become(const struct launch *launch, const struct launch_origin *origin);

/* supervise.c: runs the program as a child. Returns the exit code. */
int launch_supervise(const struct launch *launch, const struct launch_origin *origin);

#endif
