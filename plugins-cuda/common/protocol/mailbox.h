// SPDX-License-Identifier: MIT
/*
 * The mailbox: one page of the application in which the service thread of the
 * interceptor finds its next connection, and which tells others about the
 * process. It is a private mapping of a memory file named CCR_MAILBOX_NAME, so it
 * is found by its name in /proc/PID/maps, also after a restore, and a forked
 * child has a copy of its own.
 *
 * The service thread sleeps (futex) while `ends` is CCR_MAILBOX_NO_ENDS. To connect
 * to it, the plugin stops it with ptrace and injects a socketpair that writes its
 * two descriptors there; it takes the first one with pidfd_getfd. When the thread
 * runs again, it takes both numbers, closes the first and serves the second. If
 * the plugin dies in between, the thread finds a connection that has ended.
 */
#ifndef CCR_MAILBOX_H
#define CCR_MAILBOX_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define CCR_MAILBOX_NAME    "criu-cuda-mailbox"
#define CCR_MAILBOX_MAGIC   0x584f424du /* "MBOX" */
#define CCR_MAILBOX_BYTES   4096	/* of the mapping */
#define CCR_MAILBOX_NO_ENDS UINT64_MAX

/* Only grows, at its end: an image holds it as the interceptor of that time wrote it. */
struct ccr_mailbox {
	uint32_t magic;
	uint32_t protocol; /* CCR_PROTOCOL_VERSION of the interceptor */
	uint32_t size;	   /* bytes of this struct that the interceptor knows */
	uint32_t gate_closed;
	/* Two descriptors as socketpair writes them: the plugin's end, then the thread's. */
	union {
		uint64_t ends;
		int32_t end[2]; /* the thread's futex is end[1] */
	};
	/* Of what the process does now. */
	uint64_t imports;  /* memory of other processes that it has imported or opened */
	uint64_t exports;  /* memory that it has shared with other processes */
	uint64_t captures; /* streams that are being captured */
	/* Of the imports and exports, those that can be dumped with the processes that share them.
	 */
	uint64_t kept_imports, kept_exports;
	uint64_t ipc_events; /* events of the driver that it shares with other processes */
	uint64_t multicasts; /* multicast objects that it has made */
	/* Pages of events (intercept/records/event_page.h), which can be dumped like kept_imports:
	 * with events of other processes that it has open; with its own that others may open; and
	 * all that others may still have open. */
	uint64_t event_imports, event_exports, event_pages;
	uint64_t event_opens; /* how often it has opened an event of another process */
	/* Not 0 while memory of its own may be registered with the driver, which pins it. */
	uint64_t registrations;
};

static_assert(offsetof(struct ccr_mailbox, ends) == 16, "layout");
static_assert(sizeof(struct ccr_mailbox) == 120, "layout");

/*
 * Whether a line of /proc/PID/maps is of a mailbox. A file of this name elsewhere is none: to read
 * one of FUSE waits, not even for SIGKILL, until a program that another user has written answers.
 */
bool ccr_mailbox_is_in(const char *line);

/*
 * Finds the mailbox of a process, which may run, and copies it; what its
 * interceptor does not know is zero. `address` (may be NULL) is where it is in the
 * process. Returns 0; -ENOENT when there is none; -EPROTO when the page is not a
 * mailbox; or another -errno. Needs the permission to trace the process.
 */
int ccr_mailbox_read(pid_t pid, struct ccr_mailbox *mailbox, uint64_t *address);

#endif
