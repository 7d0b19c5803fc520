// SPDX-License-Identifier: MIT
/*
 * The messages about device memory between the plugin (in criu) and its watcher,
 * the pool (cuda-poold, as a daemon or for one operation) and the service
 * thread of the interceptor (in the application). Unix SEQPACKET sockets; each
 * packet is one struct ccr_message, whose size depends on its type, with file
 * descriptors (SCM_RIGHTS) where it says so. Both ends are on the same host, but
 * the interceptor is part of an image and may be older than the others. So a
 * version that is not in the range of ccr_protocol_is_supported is refused, and
 * the messages of a later version may only have more at their ends. HELLO has the
 * version that its sender speaks; any other message has the version that introduced it
 * in its present form, so that an earlier thread understands what it is sent.
 *
 * Connection: the service thread has the comm CCR_SERVICE_COMM, or CCR_SERVICE_COMM_GATED
 * while the gate is closed, so that anyone can tell from outside. The plugin makes
 * a socket pair in the application (mailbox.h), takes one end and sends it to the
 * pool with the request. The thread has the other end, says HELLO and does what
 * it is told. It has no connection at other times, so that CRIU finds none.
 *
 * Dump, on one connection of the service thread:
 *   HELLO -> <- EVICT; the thread closes the gate, waits until no call is in
 *   flight, synchronizes every context; DEVICES ->, HANDLES (with one fd each)
 *   -> as often as needed, END ->; the pool imports all of it, <- HELD; the
 *   thread unmaps and releases; DONE ->, close. The gate stays closed. At any
 *   point before HELD, ABORT <- or a lost connection means that nothing was
 *   released: the thread opens the gate. The pool copies to files while the dump
 *   continues.
 * Dump of a group, the processes of a tree that have the interceptor, if there are two
 * or more: all gates are closed before one process gives its memory away.
 *   HELLO -> <- QUIESCE; the thread closes the gate, waits, QUIET ->. If work has not
 *   ended in that time, QUIET says so, and the gate stays closed; only while a stream is
 *   being captured it is open. Then <- QUIESCE waits again, and can let a number of calls
 *   through the closed gate before, because another process waits for what they launch;
 *   <- OPEN opens the gate, DONE ->; <- EVICT continues as above and closes nothing. If the memory
 *   stays where it is: FAILED ->, <- ABORT, QUIET ->, and the gate is still closed. Otherwise ABORT
 *   <-, a failure, or a lost connection opens the gate.
 * Restore, rollback:
 *   HELLO -> <- ATTACH; <- HANDLES (with one fd each, in any order, as they
 *   become ready), <- END; the thread maps each at its old addresses and, in
 *   mode adopt, copies it into an allocation of its own; it opens the gate;
 *   DONE ->, close. If the connection is lost before END, the memory is not
 *   complete: the gate stays closed and the thread waits for the next connection.
 *   In a group, ATTACH has CCR_ATTACH_GROUP: after END, PLACED -> with the gate closed;
 *   when all members have their memory, <- OPEN; the thread opens the gate; DONE ->. If
 *   the connection is lost after PLACED, the thread cannot know whether others run on with
 *   their memory: it keeps its own, with the gate closed, and the next HELLO says so. Then
 *   OPEN <- opens the gate, and ATTACH <- begins again without that memory. The pool
 *   decides when all members have said HELLO: if one of them has no memory, none has run
 *   on, and all begin again; otherwise all open their gates. After ABORT it is as if the connection
 *   were lost before END.
 * Memory that members share: on a dump, an empty SHARED <- after QUIET asks for it; SHARED ->
 *   as often as needed, with one fd each for what the process has imported, and for what it
 *   has exported, END ->. Imports and exports that are the same open file are the same
 *   memory. The backup (see below) gets SHARED, too. On a restore, after PLACED,
 *   <- EXPORT asks for memory that others import, HANDLES -> has its descriptors; the
 *   importers get <- SHARED as often as needed, then <- END, PLACED ->. A process that has
 *   its memory already answers EXPORT after HELLO, until ABORT <-.
 * Custom storage, without a service thread: OP_STORE has the pool make the
 * driver's Checkpoint of a locked process, copy the memory that the driver maps
 * in the pool to a GPU image, and complete. OP_UNSTORE has it make the Restore: of
 * a process that was restored by CRIU from its image, or with the number of an
 * OP_STORE, which it waits for, to undo that. The process is then locked again.
 * A step that fails: FAILED -> with the CUresult and a text.
 *
 * Descriptor backup: from HELD on, only the pool has the application's memory.
 * Before it sends HELD, it sends DEVICES, HANDLES and END to the backup socket
 * that came with OP_DUMP. The watcher keeps the descriptors. If the pool dies,
 * the watcher sends all of it to a new pool (OP_RECLAIM, then the messages).
 */
#ifndef CCR_PROTOCOL_H
#define CCR_PROTOCOL_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define CCR_PROTOCOL_MAGIC     0x50524343u /* "CCRP" */
#define CCR_PROTOCOL_VERSION   4u	   /* that we speak */
#define CCR_PROTOCOL_MIN       3u	   /* the earliest that we understand, as in images */
#define CCR_PROTOCOL_GROUPS    4u	   /* the earliest with QUIESCE and CCR_ATTACH_GROUP */
#define CCR_SERVICE_COMM       "criu-cuda-svc"
#define CCR_SERVICE_COMM_GATED "criu-cuda-gated" /* the kernel keeps 15 characters */
#define CCR_OP_PID_SHIFT       10 /* an operation is the pid of its criu << 10, and a number */
#define CCR_POOL_SOCKET	       "pool.sock"    /* of the daemon, for plugins */
#define CCR_CONTROL_SOCKET     "control.sock" /* the same, for people; see pool/control.c */

#define CCR_EARLY_SOCKET 3 /* in a helper that was started before criu: the end for the plugin */

#define CCR_MAX_DEVICES	      64
#define CCR_HANDLES_A_MESSAGE 64 /* fds of one packet, under the kernel's 253 */

enum ccr_message_type {
	/* service thread -> pool */
	CCR_MSG_HELLO = 1,
	CCR_MSG_DEVICES,
	CCR_MSG_HANDLES, /* both directions; with the fds that the entries name */
	CCR_MSG_END,	 /* both directions: no more HANDLES */
	CCR_MSG_DONE,
	CCR_MSG_FAILED,
	CCR_MSG_QUIET,	/* `result` 0; -EBUSY and a text: not yet; the gate is closed, see above */
	CCR_MSG_PLACED, /* the memory is where it was; the gate is closed */
	CCR_MSG_SHARED, /* both directions; with one fd for each entry */
	/* pool -> service thread */
	CCR_MSG_EVICT = 32,
	CCR_MSG_HELD,
	CCR_MSG_ATTACH,
	CCR_MSG_ABORT,
	CCR_MSG_QUIESCE,
	CCR_MSG_OPEN,
	CCR_MSG_EXPORT, /* answered by HANDLES */
	/* plugin or watcher -> pool; each with the descriptors that `op.fds` names, in order */
	CCR_MSG_OP_DUMP = 64, /* all of them; then OP_READY, OP_HELD, OP_RESULT */
	CCR_MSG_OP_COMMIT,    /* the process has ended: drop its memory; no reply */
	CCR_MSG_OP_ROLL_BACK, /* connection; the process is alive: return its memory; OP_GIVEN */
	CCR_MSG_OP_RESTORE,   /* images directory: start loading; then OP_RESULT */
	CCR_MSG_OP_ATTACH,    /* pidfd, connection; then OP_READY, OP_GIVEN */
	CCR_MSG_OP_RECLAIM,   /* the same; DEVICES, HANDLES, END follow; then OP_READY, OP_GIVEN */
	CCR_MSG_OP_LOADED,    /* after OP_ATTACH: OP_RESULT when the memory is on the device */
	CCR_MSG_OP_STORE,     /* images directory, pidfd: see below; then OP_READY, OP_RESULT */
	CCR_MSG_OP_UNSTORE,   /* the same */
	CCR_MSG_OP_JOIN,      /* pidfd, connection: a member of a group; then OP_READY */
	CCR_MSG_OP_QUIESCE,   /* closes all gates of the group; then OP_QUIET, or OP_RESULT: all are
				 open, and no process is a member any more */
	CCR_MSG_OP_LAST = CCR_MSG_OP_QUIESCE,
	/*
	 * pool -> plugin or watcher. OP_READY: the request is accepted. OP_HELD:
	 * the application has released its memory.
	 * OP_RESULT: everything is saved or loaded, or loading has started; instead of
	 * any other reply, it says why the request failed. OP_GIVEN: the application
	 * has all of its memory, or was killed.
	 */
	CCR_MSG_OP_RESULT = 96,
	CCR_MSG_OP_READY,
	CCR_MSG_OP_HELD,
	CCR_MSG_OP_GIVEN,
	CCR_MSG_OP_QUIET,
};

/* Bits of op.fds, in the order of the descriptors. */
enum {
	CCR_OP_IMAGES = 1,
	CCR_OP_STATUS = 2,
	CCR_OP_FD_BACKUP = 4,
	CCR_OP_PIDFD = 8,
	CCR_OP_CONNECTION = 16, /* with the service thread; for this request only */
	CCR_OP_EARLIER = 32,	/* OP_DUMP, OP_STORE: directory of an earlier image */
};
#define CCR_OP_MAX_FDS 6

enum ccr_service_state {
	CCR_SERVICE_RESIDENT,
	CCR_SERVICE_EVICTED,
	CCR_SERVICE_PLACED, /* the memory is where it was, but the gate is still closed */
};
enum ccr_attach_mode { CCR_ATTACH_AUTO, CCR_ATTACH_ADOPT, CCR_ATTACH_MAP };
#define CCR_ATTACH_GROUP 0x100u /* with a mode: PLACED, not DONE, follows END */

/*
 * One physical allocation. Only the application knows where it is mapped. Its
 * `size` bytes are at `offset` of the memory behind a descriptor of the message.
 * The application sends whole memory; the pool may send a part of a larger one
 * (a slab), which can only be adopted.
 */
struct ccr_wire_handle {
	uint64_t id;	      /* given by the interceptor, never reused in a process */
	uint64_t size;	      /* bytes, a multiple of the granularity */
	uint64_t address;     /* of its first mapping, for messages; 0 when it is not mapped */
	uint64_t requested;   /* bytes that the application asked for, for messages */
	uint64_t offset;      /* bytes */
	uint64_t memory_size; /* bytes behind the descriptor */
	uint32_t device;      /* index into DEVICES */
	uint32_t flags;	      /* CCR_HANDLE_* */
	uint32_t fd;	      /* index into the descriptors of the message, never decreasing */
	uint32_t pad;
};
/* The application made it with cuMemCreate; otherwise it replaces a cuMemAlloc. */
#define CCR_HANDLE_OWN_VMM 1u

enum ccr_shared_kind { CCR_SHARED_EXPORT, CCR_SHARED_IMPORT };

/*
 * An allocation that a process has exported, or memory of another process that it has
 * imported. The descriptor is that of the message with the same index. The thread alone
 * knows where it is mapped, and with which access.
 */
struct ccr_wire_shared {
	uint64_t id;	  /* of the allocation, or of the import, in this process */
	uint64_t size;	  /* bytes */
	uint64_t other;	  /* of an import, from the pool: the id in the process that exports it */
	uint64_t address; /* of its first mapping, for messages; 0 when it is not mapped */
	/* In the backup: of the processes, as in the names of their images. */
	uint32_t importer, exporter;
	uint32_t kind; /* enum ccr_shared_kind */
	uint32_t pad;
};

struct ccr_device_pair {
	uint8_t from[16], to[16]; /* UUIDs */
};
struct ccr_device_map {
	uint32_t count;
	struct ccr_device_pair pairs[CCR_MAX_DEVICES];
};

struct ccr_message {
	uint32_t magic;
	uint16_t version;
	uint16_t type; /* enum ccr_message_type */
	uint32_t operation;
	int32_t result; /* FAILED, ABORT, QUIET, OP_RESULT: 0 or -errno */
	union {
		struct {
			int32_t nspid;	/* pid in the application's own namespace */
			uint32_t state; /* enum ccr_service_state */
			uint64_t nr_handles;
			uint64_t bytes;
		} hello;
		struct {
			uint32_t count;
			uint32_t pad;
			uint8_t uuid[CCR_MAX_DEVICES][16];
		} devices;
		struct {
			uint32_t count;
			uint32_t pad;
			struct ccr_wire_handle entry[CCR_HANDLES_A_MESSAGE];
		} handles;
		struct {
			uint32_t count;
			uint32_t pad;
			struct ccr_wire_shared entry[CCR_HANDLES_A_MESSAGE];
		} shared;
		struct {
			uint32_t count;
			uint32_t pad;
			uint64_t id[CCR_HANDLES_A_MESSAGE];
		} exports;
		struct {
			uint32_t timeout_ms; /* for the gate and the contexts */
		} evict;
		struct {
			uint32_t timeout_ms;
			uint32_t calls; /* that pass the gate before; 0 if it is open */
		} quiesce;
		struct {
			uint32_t mode; /* enum ccr_attach_mode, CCR_ATTACH_GROUP */
		} attach;
		struct {
			int32_t cu_result;
			char text[252];
		} failed; /* FAILED, ABORT, QUIET */
		struct {
			int32_t pid;	   /* of the application as criu sees it, for messages */
			int32_t criu;	   /* pid of the criu process */
			int32_t image_pid; /* pid in the name of the image: OP_DUMP and OP_ATTACH */
			uint32_t timeout_ms;
			uint32_t streams, chunk_mb, verify, io; /* as in settings.h */
			uint32_t attach_mode;
			uint32_t fds;	/* CCR_OP_* */
			uint32_t hold;	/* OP_COMMIT: keep the memory for the next restore */
			uint32_t again; /* another pool, which died, may have done it already */
			uint32_t sync;	/* OP_DUMP: enum ccr_sync */
			uint8_t checkpoint[16];	   /* OP_DUMP: its id, for the manifest */
			struct ccr_device_map map; /* OP_RESTORE */
			/* OP_ATTACH, OP_RECLAIM: how many processes of this session get their
			 * memory before one of them runs on; 0: this one alone */
			uint32_t group;
		} op;
		struct {
			uint64_t nr_handles, bytes; /* OP_HELD, OP_RESULT of OP_DUMP */
			double wait_ms, copy_ms;
			char text[252];
		} done;
	};
};

/* True for the versions that this build understands: of messages, mailboxes and images. */
static inline bool ccr_protocol_is_supported(uint32_t version)
{
	return version - CCR_PROTOCOL_MIN <= CCR_PROTOCOL_VERSION - CCR_PROTOCOL_MIN;
}

/* These versions in words: "only protocol 3", or "protocols 3 to 4". Static memory. */
const char *ccr_protocol_range(void);

static_assert(sizeof(struct ccr_wire_handle) == 64, "wire layout");
static_assert(sizeof(struct ccr_wire_shared) == 48, "wire layout");
static_assert(sizeof(struct ccr_message) == 16 + 8 + CCR_HANDLES_A_MESSAGE * 64, "wire layout");

#endif
