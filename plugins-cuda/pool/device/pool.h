// SPDX-License-Identifier: MIT
/*
 * cuda-poold: moves device memory between applications and GPU images. A thread
 * per run of criu (session.c), one more per process whose memory goes out or in
 * (op_process.c); the daemon also keeps images in device memory (residents.c). See
 * common/protocol/protocol.h for who says what.
 */
#ifndef CCR_POOL_H
#define CCR_POOL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/driver/driver_calls.h"
#include "common/log.h"
#include "common/protocol/protocol.h"
#include "common/settings/settings.h"
#include "common/status.h"

/*
 * Memory in the pool's hands: a physical allocation, its own or one that it was
 * given, or a part of one (then the whole is an entry of another list).
 */
struct held {
	uint64_t id, size, address, requested;
	uint64_t offset, memory_size; /* of the part, of the whole */
	uint32_t device;	      /* ordinal in the pool */
	uint32_t flags;
	uint32_t whole; /* its index, for a part */
	int fd;		/* stays open: an imported handle cannot be exported a second time */
	CUmemGenericAllocationHandle handle; /* 0 for a part, or not made yet */
	CUdeviceptr mapped;		     /* in the pool's address space, 0 when it is not */
};

/* Consecutive entries of one device, mapped side by side. */
struct arena {
	CUdeviceptr base;
	uint64_t bytes;
};

struct held_list {
	struct held *entries;
	size_t nr, room;
	uint64_t bytes;
	struct arena *arenas; /* while it is mapped */
	size_t nr_arenas;
};

struct pool {
	struct ccr_settings settings;
	struct ccr_driver driver;
	struct ccr_cuda cuda;
	int nr_devices;
	CUcontext contexts[CCR_MAX_DEVICES];
	CUuuid uuids[CCR_MAX_DEVICES];
	struct {
		atomic_ullong dumps, restores, roll_backs, reused, loads, prefetches, holds,
			evictions, failures, bytes_saved, bytes_attached;
	} counters;
};

extern struct pool pool;

/* device.c; CUresult failures are logged and returned as -EIO, -ENOMEM when the device is full. */

/*
 * Begins cuInit and the list of devices in a thread of its own, since it takes
 * a tenth of a second in which criu and the application can go on.
 */
void pool_device_begin(void);
/* Waits for it; 0 or -errno with `error`. Before any other call here. */
int pool_device_wait(char *error, size_t size);
/* Retains the primary context of a device and makes it current in this thread. */
int pool_device_use(int device);
/* Ordinal of the device with this UUID, or -ENODEV. */
int pool_device_find(const uint8_t uuid[16]);
/* Bytes that are free on a device, and that it has. */
int pool_device_memory(int device, size_t *free_bytes, size_t *total_bytes);
int held_add(struct held_list *list, const struct held *held);
/* Imports the memory behind `held->fd`, which stays open. */
int held_import(struct held *held);
/* Fresh exportable memory of `held->size` on `held->device`. */
int held_create(struct held *held);
/* Its descriptor, when it has none yet: as slow as the allocation itself. */
int held_export(struct held *held);
/*
 * Maps all of a list for copying, with one call for the access to each arena:
 * that is what takes the time with thousands of allocations.
 */
int held_map_all(struct held_list *list);
void held_unmap_all(struct held_list *list);
/* Drops every reference: the memory is free when nobody else has one. */
void held_free_all(struct held_list *list);

/* interceptor.c: the pool's side of a conversation with a service thread. */

struct service_door {
	int listener;
	uint32_t operation;
	char path[108];
};
/* A fresh `op-N.sock` in the run directory. */
int service_door_open(struct service_door *door);
void service_door_close(struct service_door *door);
/*
 * Waits for the service thread of `pid` and its HELLO; other peers are refused
 * and logged. The connection, or -ETIMEDOUT, or -ESRCH when the process ends.
 */
int service_accept(const struct service_door *door, pid_t pid, int pidfd, int timeout_ms,
		   struct ccr_message *hello);
/*
 * DEVICES up to END: `list` holds imported memory. Every message also goes to
 * `vault` (-1: none). On error the text is in `error`.
 */
int service_collect(int connection, uint32_t timeout_ms, int vault, struct held_list *list,
		    char *error, size_t size);
int service_begin_evict(int connection, uint32_t operation, uint32_t timeout_ms);
int service_hold(int connection, uint32_t operation);
/* After HELD, up to DONE. */
int service_finish_evict(int connection, char *error, size_t size);
void service_abort(int connection, uint32_t operation, int result, const char *text);
int service_begin_attach(int connection, uint32_t operation, enum ccr_attach_mode mode);
int service_send_held(int connection, uint32_t operation, const struct held *entries, size_t nr);
/* END up to DONE. */
int service_finish_attach(int connection, uint32_t operation, char *error, size_t size);

/* session.c: serves one criu run until it is done; owns `socket`. */
void session_run(int socket);
/* daemon.c: serves everybody until SIGTERM; the exit code. */
int daemon_run(void);
/* control.c: answers one person or program; owns `socket`. */
void control_run(int socket);

#endif
