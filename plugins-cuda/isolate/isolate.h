/* SPDX-License-Identifier: MIT */
/*
 * criu-cuda-isolate: runs a program in namespaces of its own, or in those of a tree that it has
 * isolated before.
 *
 * A new set has namespaces for pids, mounts, IPC and, if wanted, the network. Its first process
 * stays (init.c): it collects what is orphaned, and ends when nothing is left. All of the machine's
 * files are seen, except those that are private to the tree (private_dir.c).
 */
#ifndef CCR_ISOLATE_H
#define CCR_ISOLATE_H

#include <stdbool.h>
#include <sys/types.h>

/* What was asked for on the command line. */
struct isolate {
	char **argv; /* the program and its arguments, NULL at the end */
	/* directories of which the tree gets its own, and its own files in them; NULL at the end */
	char **dirs, **files;
	const char *carry; /* directory that has to be seen in the namespaces of `enter` */
	pid_t enter;	   /* 0: new namespaces */
	pid_t last_pid;	   /* the program gets a greater one; 0: any */
	int report;	   /* for what has to be said; -1: stderr */
	bool network;
};

/* Exit code after wrong use, and when the program cannot be started. */
enum { ISOLATE_USAGE = 2 };

/*
 * main.c: says why it failed, with errno. A report is lines: `init PID` (seen from outside), `ended
 * PID STATUS` (seen from inside; as waitpid fills it in), `failed TEXT`. Returns -1.
 */
int isolate_fail(const struct isolate *isolate, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void isolate_say_ended(const struct isolate *isolate, pid_t pid, int status);

/* Executes the program; returns only after isolate_fail(). */
void isolate_execute(const struct isolate *isolate);

/* enter.c, init.c: run the program. Return an exit code. */
int isolate_enter(const struct isolate *isolate);
int isolate_new(const struct isolate *isolate);

/*
 * private_dir.c: puts a tmpfs over a directory, and binds all that is in it there, except `files`:
 * they are absent, and the tree makes its own. Directories that have one of them are private, too.
 * What others create in a private directory later is not seen. Returns 0 or -errno.
 */
int isolate_private_dir(const char *dir, char **files);

/* loopback.c: lets the addresses of this network namespace be used. Returns 0 or -errno. */
int isolate_start_loopback(void);

#endif
