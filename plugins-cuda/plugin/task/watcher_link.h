// SPDX-License-Identifier: GPL-2.0-only
/* Between criu and the watcher: what is sent, and how the watcher is started. */
#ifndef CCR_PLUGIN_WATCHER_LINK_H
#define CCR_PLUGIN_WATCHER_LINK_H

#include "plugin/task/state.h"

/* Descriptors of the pool that the watcher keeps; see device/device.h. */
#define WATCHER_FDS 3

/* What is above this folder: the watcher's own work, and the descriptors it is to keep. */
struct watcher_ops {
	/* In the watcher. Does not return. */
	void (*run)(int stage, int fd);
	/* In criu: descriptors to pass on (-1: none), which stay open until they were. */
	void (*fds)(int fds[WATCHER_FDS]);
	void (*fds_passed)(void);
};

enum watcher_message_kind { WATCHER_TRACK, WATCHER_RELEASE };

/* One packet; WATCHER_TRACK carries those of the descriptors that `fds` names, in order. */
struct watcher_message {
	enum watcher_message_kind kind;
	uint32_t fds;
	struct task task;
};

/* Opens the status file and starts the watcher when the first CUDA process is met. 0 or -errno. */
int ccr__begin(int stage);
/* The stage in the status file. */
const char *ccr__stage_name(int stage);
/* Tells the watcher about a task before the first driver call on it, and again when the pool has a
 * part in it. */
int ccr__watcher_track(const struct task *task);
/* The prior states are back, or the restore is complete: only memory is left to see to. */
void ccr__watcher_release(void);

/* In the watcher: one message with its descriptors (-1: none); false when criu is gone. */
bool ccr__watcher_receive(int fd, struct watcher_message *message, int fds[WATCHER_FDS]);

#endif
