/* SPDX-License-Identifier: MIT */
/* A directory that looks like /proc and /sys, in which a test puts processes; and the look at them.
 */
#ifndef CCR_LOOK_TEST_H
#define CCR_LOOK_TEST_H

#include <stdbool.h>
#include <sys/types.h>

#include "common/protocol/mailbox.h"
#include "look/look.h"
#include "test/check.h"

/* Pids that no process can have: the kernel's own limit is 4194304. */
#define ROOT_PID  5000000
#define CHILD_PID 5000001
#define OTHER_PID 5000002

#define GIB (1ull << 30)

/* What the look is asked; look_begin fills it for variant stock, with a driver, without images. */
extern struct ccr_look_request request;
extern struct ccr_settings settings;

/* An empty machine with 64 GiB of available memory. `libcuda` is where the driver is. */
void look_begin(const char *libcuda);
void look_end(void);

/* Writes a file below the root, and the directories above it. */
void fake_file(const char *path, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Adds to a file. */
void fake_more(const char *path, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A running process with one thread and ordinary limits. */
void fake_process(pid_t pid, pid_t parent);
/* The same with CUDA, as the driver will say: libcuda and a GPU device file. */
void fake_cuda(pid_t pid, pid_t parent);
/* `state` as in "S (sleeping)"; the thread whose number is the pid is there already. */
void fake_thread(pid_t pid, pid_t tid, const char *name, const char *state, pid_t tracer);
void fake_map(pid_t pid, const char *line);
void fake_descriptor(pid_t pid, int number, const char *target);

/* A mapping of a memory file with the mailbox's name. */
void fake_mailbox(pid_t pid);
/* A mailbox of this version, of a process that shares nothing. */
extern const struct ccr_mailbox quiet_mailbox;
/* The interceptor, its service thread and its mailbox; NULL: it is older than mailboxes. */
void fake_interceptor(pid_t pid, const struct ccr_mailbox *mailbox);

/* Looks at the tree; the result stays until the next look. */
const struct ccr_look *look_at(void);
/* Looks, and expects exactly these reasons: "stopped 5000000, traced 5000001"; "" for none. */
bool look_finds(const char *reasons);
/* The detail of the first reason of this kind in the last look; "" if there is none. */
const char *detail_of(enum ccr_look_kind kind);

#endif
