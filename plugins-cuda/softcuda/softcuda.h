// SPDX-License-Identifier: MIT
// Internal header of the software CUDA driver. Lock order: use_lock (va.c), mem_lock (va.c), queue
// lock (queue.c), handle lock (handles.c). A call that waits at the gate holds none of them. So
// when the process is locked, the restore thread may read and change every table without a lock.
#ifndef CCR_SOFTCUDA_H
#define CCR_SOFTCUDA_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "common/driver/cuda_abi.h"

// The implementation of an exported call. The exported function adds failure injection, the check
// for cuInit and the gate.
#define SOFT(name) ccr_soft_##name

#define CCR_MAX_DEVICES 16
#define CCR_MIB		(1024ull * 1024)
#define CCR_PAGE_2M	(2 * CCR_MIB)

// Device addresses. They are below the addresses at which Linux places ordinary mappings, and
// inside the application memory of ASAN and TSAN. The control page comes first.
#define CCR_VA_CONTROL 0x7e8000000000ull
#define CCR_VA_STORAGE 0x7e8010000000ull // see checkpoint.h
#define CCR_VA_START   0x7e8040000000ull
#define CCR_VA_END     0x7ef000000000ull

static inline uint64_t ccr_round_up(uint64_t value, uint64_t unit)
{
	return (value + unit - 1) / unit * unit;
}

// What a driver needs to have custom storage: 615, API 13.4.
#define CCR_VERSION_STORAGE 13040

// Settings, read once from the environment (settings.c).
struct ccr_soft_settings {
	int nr_devices;
	uint64_t memory_bytes;
	int driver_version;
	unsigned int checkpoint_ms; // added to each Checkpoint
	uint64_t host_state_mib;    // see checkpoint/host_state.c
	char waits[200];	    // a FIFO for which Checkpoint and Restore wait; "": none
	char reads[200];	    // a file that lists memory which a Restore reads; "": none
	bool valid, dir_is_preset;
	char dir[200];
};

const struct ccr_soft_settings *ccr_soft_settings(void);
// True in a process that called cuInit itself, false in a child it forked afterwards.
bool ccr_soft_initialized(void);

// Handles (handles.c): opaque numbers, not pointers, so that we recognize stale ones.
enum ccr_handle_type {
	CCR_HANDLE_CTX = 1,
	CCR_HANDLE_STREAM,
	CCR_HANDLE_EVENT,
	CCR_HANDLE_MODULE,
	CCR_HANDLE_FUNCTION,
	CCR_HANDLE_MEMORY,
	CCR_HANDLE_MULTICAST,
};

uint64_t ccr_handle_new(enum ccr_handle_type type, void *object); // 0: out of memory
void *ccr_handle_get(enum ccr_handle_type type, uint64_t handle); // NULL: not a valid handle
void ccr_handle_drop(uint64_t handle);
#define ccr_handle_of(type, h) ccr_handle_get(type, (uint64_t)(uintptr_t)(h))

// Physical device memory (phys.c).
struct ccr_phys {
	int device;
	uint64_t offset, size; // in the device's file
	int fd;		       // its own file description; -1: uses the device's
	bool is_imported;
	unsigned int handle_refs, map_refs;
	unsigned int ipc_refs; // how often cuIpcOpenMemHandle gave it out; 0: it is none of those
	uint64_t id;
	uint64_t handle;
	CUmemAllocationProp prop;
	char *saved; // its bytes while checkpointed; NULL if they are in custom storage
	struct ccr_phys *next, *prev;
};

CUresult ccr_phys_new(struct ccr_phys **out, const CUmemAllocationProp *prop, uint64_t size);
// Opens a new file that names this memory and keeps it allocated.
CUresult ccr_phys_export(const struct ccr_phys *phys, int *fd);
CUresult ccr_phys_import(struct ccr_phys **out, int fd);
CUresult ccr_phys_import_range(struct ccr_phys **out, int device, uint64_t offset, uint64_t size);
void ccr_phys_put(struct ccr_phys *phys); // drops a reference, the last one frees it

int ccr_phys_fd(const struct ccr_phys *phys);
// Only for the restore thread of a locked process. Use no locks and no malloc.
CUresult ccr_phys_save_all(void);
void ccr_phys_evict_all(void);
// In a forked child: closes what only the parent may use.
void ccr_phys_close_all(void);
CUresult ccr_phys_load_all(void);
bool ccr_phys_on_device(int device);
bool ccr_phys_has_imported(void);
struct ccr_phys *ccr_phys_next(const struct ccr_phys *phys); // NULL: the first one

// The file behind each device (backing.c). `backing` is the number of the physical device, which is
// the device's ordinal unless Restore has changed it.
struct ccr_backing {
	int shared_fd, probe_fd;
	int number;
};

extern struct ccr_backing ccr_backings[CCR_MAX_DEVICES];
CUresult ccr_backing_open(int device);
CUresult ccr_backing_open_all(void);
void ccr_backing_close_all(void);
CUresult ccr_backing_claim(int device, int fd, uint64_t size, uint64_t *offset);
// Makes fd, a file of its own, name claimed memory: by its offset, and by a lock that others may
// have as well. 0, or -errno.
int ccr_backing_name(int fd, uint64_t offset, uint64_t size);
void ccr_backing_release(int device, int fd, uint64_t offset, uint64_t size);
CUresult ccr_backing_new_fd(int device, int *fd);
bool ccr_backing_find_lock(int device, uint64_t from, uint64_t to, uint64_t *start, uint64_t *end);
CUresult ccr_backing_used(int device, uint64_t *used);
int ccr_backing_device_of(int fd);
// Makes the directory of the devices. False, with errno, if there is none or it is somebody else's.
bool ccr_backing_has_dir(void);
// The device file of this process (node.c); without effect where there cannot be one.
void ccr_node_open(void);
void ccr_node_close(void);
void ccr_device_uuid(int number, CUuuid *uuid);
int ccr_device_number_of(const CUuuid *uuid);
// Of the physical device; one that was never opened is that of its own number.
int ccr_device_number(int device);

// Address space (va.c).
struct ccr_range {
	CUdeviceptr base;
	uint64_t size;
};

struct ccr_reservation {
	struct ccr_range range;
	bool is_internal; // created by cuMemAlloc
};

struct ccr_mapping {
	struct ccr_range range;
	struct ccr_phys *phys;
	uint64_t offset;
	bool is_internal;
	uint8_t access[CCR_MAX_DEVICES]; // CUmemAccess_flags of each device
};

// Sorted arrays of items that start with a struct ccr_range and never overlap.
struct ccr_table {
	char *items;
	size_t item_bytes, count, room;
};

// Index of the first item that ends after addr, or count if there is none.
size_t ccr_table_after(const struct ccr_table *table, CUdeviceptr addr);
void *ccr_table_at(const struct ccr_table *table, size_t index);
void *ccr_table_find(const struct ccr_table *table, CUdeviceptr addr); // item that contains addr
void *ccr_table_insert(struct ccr_table *table, const void *item);     // NULL: out of memory
void ccr_table_remove(struct ccr_table *table, size_t index);

extern struct ccr_table ccr_mappings;

void ccr_mem_lock(void);
void ccr_mem_unlock(void);
// An operation that accesses memory holds `use`; one that unmaps memory holds `take`.
void ccr_use_begin(void);
void ccr_use_end(void);
void ccr_take_begin(void);
void ccr_take_end(void);

// Call these with mem_lock held.
CUresult ccr_va_reserve(CUdeviceptr *out, uint64_t size, uint64_t align, CUdeviceptr hint,
			bool is_internal);
CUresult ccr_va_free(CUdeviceptr base, uint64_t size);
CUresult ccr_va_map(CUdeviceptr base, uint64_t size, struct ccr_phys *phys, uint64_t offset,
		    bool is_internal);
CUresult ccr_va_unmap(CUdeviceptr base, uint64_t size);
CUresult ccr_va_set_access(CUdeviceptr base, uint64_t size, int device, CUmemAccess_flags flags);
// Only for the restore thread.
CUresult ccr_va_detach_all(void);
CUresult ccr_va_attach_all(void);

enum ccr_place { CCR_PLACE_DEVICE, CCR_PLACE_PINNED, CCR_PLACE_PAGEABLE };

enum ccr_place ccr_place_of(CUdeviceptr addr);
// True if `device` (-1: the copy engine) may access these bytes. Takes mem_lock.
bool ccr_may_access(CUdeviceptr addr, uint64_t size, bool write, int device);

// cuMemAlloc (memory.c) and pinned host memory (host.c). Call with mem_lock held.
struct ccr_alloc {
	struct ccr_range range; // as requested by the program
	uint64_t id;
	struct ccr_ctx *ctx;
};

struct ccr_host {
	struct ccr_range range;
	uint64_t id;
	unsigned int flags;
	bool is_registered;
	struct ccr_ctx *ctx;
};

extern struct ccr_table ccr_allocs, ccr_hosts;
uint64_t ccr_next_id(void);
void ccr_memory_free_context(struct ccr_ctx *ctx);
void ccr_host_free_context(struct ccr_ctx *ctx);

// Contexts (context.c).
struct ccr_ctx {
	uint64_t handle;
	int device;
	unsigned int flags;
	bool is_primary;
	atomic_bool is_alive;
	unsigned int retained;
	unsigned int peers; // a bit per device; guarded by mem_lock
	_Atomic int sticky; // the error that ended the context, as on hardware
	struct ccr_stream *legacy;
	struct ccr_ctx *next;
};

void ccr_ctx_add(struct ccr_ctx *ctx); // call with contexts.lock held
// The stack of current contexts of this thread. push: false if there is no room; pop, top: NULL if
// it is empty.
bool ccr_ctx_has_room(void);
bool ccr_ctx_push(struct ccr_ctx *ctx);
struct ccr_ctx *ccr_ctx_pop(void);
struct ccr_ctx *ccr_ctx_top(void);
CUresult ccr_ctx_current(struct ccr_ctx **out);
bool ccr_device_in_use(int device);
// Changes the number of contexts of `device` that may access `peer`. Call with mem_lock held.
void ccr_peer_change(int device, int peer, int by);
void ccr_peer_forget(struct ccr_ctx *ctx);

// Streams and their operations (queue.c). Each stream in use has a worker thread.
struct ccr_stream {
	uint64_t handle;
	struct ccr_ctx *ctx;
	unsigned int flags;
	int priority;
	unsigned int refs;
	uint64_t submitted, completed;
	struct ccr_op *head, *tail; // the head stays until it is done
	bool has_worker, is_destroyed;
	bool is_capturing, is_invalidated; // by cuStreamBeginCapture; its end gives an error
	struct ccr_stream *next;
};

struct ccr_point {
	struct ccr_stream *stream;
	uint64_t seq;
};

struct ccr_event {
	uint64_t handle;
	unsigned int flags, refs;
	struct ccr_ipc_event *ipc; // NULL: only this process has it
	bool is_opened;		   // by cuIpcOpenEventHandle
	struct ccr_ctx *ctx;
	struct ccr_point point; // stream NULL: never recorded
	uint64_t time_ns;
	uint64_t time_seq; // of the record to which time_ns belongs
};

struct ccr_dims {
	unsigned int grid[3], block[3], shared_bytes;
};

#define CCR_MAX_PARAMS 16

struct ccr_kernel {
	const char *name;
	unsigned int nr_params; // each has 64 bits
	CUresult (*run)(const uint64_t *params, int device, const struct ccr_dims *dims);
};

const struct ccr_kernel *ccr_kernel_find(const char *name);

struct ccr_op {
	struct ccr_op *next;
	uint64_t seq;			    // in its stream
	uint64_t ticket;		    // in the process
	CUresult (*run)(struct ccr_op *op); // NULL: a mere point in the stream
	struct ccr_stream *stream;
	struct ccr_point after;	 // stream NULL: nothing to wait for
	struct ccr_event *event; // recorded by this operation, or NULL
	struct ccr_event *await; // of another process: its record `number` comes first
	uint64_t number;	 // of the record of an event that processes share
	void *staged;		 // freed together with the operation
	union {
		struct {
			CUdeviceptr dst, src;
			uint64_t bytes;
		} copy;
		struct {
			CUdeviceptr dst;
			uint64_t count;
			uint32_t value;
			unsigned int width;
		} set;
		struct {
			const struct ccr_kernel *kernel;
			uint64_t params[CCR_MAX_PARAMS];
			struct ccr_dims dims;
		} launch;
		struct {
			CUhostFn fn;
			CUstreamCallback callback;
			void *data;
			CUstream stream;
		} host;
		struct {
			CUdeviceptr addr;
			uint64_t value;
			unsigned int condition;
		} word;
	};
};

// Finds the stream of a handle (including 0 and the special values) for the calling thread.
CUresult ccr_stream_of(CUstream handle, struct ccr_stream **out);
struct ccr_op *ccr_op_new(struct ccr_stream *stream, CUresult (*run)(struct ccr_op *op));
// Queues the operation. With `wait` it waits for the end and returns the context's error. Always
// takes ownership of the operation.
CUresult ccr_queue_submit(struct ccr_op *op, bool wait);
void ccr_queue_wait(struct ccr_point point);
bool ccr_queue_is_done(struct ccr_point point);
void ccr_queue_wait_context(struct ccr_ctx *ctx); // NULL: every context
// Ends the captures in a context with an error. Returns whether there were any.
bool ccr_queue_end_captures(const struct ccr_ctx *ctx);
bool ccr_stream_is_capturing(struct ccr_stream *stream);
bool ccr_multicast_release(CUmemGenericAllocationHandle mc); // share.c; false: it is none
bool ccr_queue_is_idle(struct ccr_stream *stream);
void ccr_queue_lock(void);
void ccr_queue_unlock(void);
struct ccr_stream *ccr_stream_new(struct ccr_ctx *ctx, unsigned int flags, int priority);
void ccr_stream_put(struct ccr_stream *stream); // call with the queue lock held
void ccr_stream_destroy(struct ccr_stream *stream);
void ccr_stream_destroy_all(struct ccr_ctx *ctx);
void ccr_event_put(struct ccr_event *event); // call with the queue lock held
// Takes `ipc` (NULL: an event of this process only), also when it fails.
CUresult ccr_event_new(CUevent *out, struct ccr_ctx *ctx, unsigned int flags,
		       struct ccr_ipc_event *ipc, bool is_opened);
// True while the exported call is a variant for the per-thread default stream. Set by api.c.
extern _Thread_local bool ccr_per_thread_default;

// The gate (gate.c).
void ccr_gate_enter(void);
void ccr_gate_leave(void);
void ccr_gate_hold(void); // counts an operation queued in a stream
// Closes the gate and waits until the process is idle (0 ms: forever). Returns 0, or -ETIMEDOUT
// after it has opened the gate again.
int ccr_gate_close(unsigned int timeout_ms);
void ccr_gate_open(void);

// Failure injection and symbol lookup (api.c, proc_address.c).
CUresult ccr_inject(unsigned int call);

struct ccr_symbol {
	const char *name;
	void *plain, *per_thread;
	int version; // first CUDA version with it
};

extern const struct ccr_symbol ccr_symbols[];
extern const size_t ccr_nr_symbols, ccr_nr_calls;

// PTX text (ptx.c).
bool ccr_ptx_has_entry(const char *text, const char *name);
CUresult ccr_ptx_check(const void *image);

void ccr_module_free_context(struct ccr_ctx *ctx);
// NULL if the handle is not a function.
const struct ccr_kernel *ccr_function_kernel(CUfunction handle, struct ccr_ctx **ctx);

#endif
