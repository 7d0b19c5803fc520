// SPDX-License-Identifier: MIT
/* The requests and threads of processes whose memory the driver hands over. */
#include "pool/session/op_store.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "pool/session/pidfd.h"

static struct op_store *find(const struct session *session, uint32_t number)
{
	struct op_store *store = session->stores;

	while (store && (!number || store->number != number))
		store = store->next;
	return store;
}

static struct op_store *new_store(struct session *session, pid_t image_pid,
				  const struct copy_options *options)
{
	struct op_store *store = calloc(1, sizeof(*store));

	if (!store)
		return NULL;
	store->session = session;
	store->image_pid = image_pid;
	store->options = *options;
	store->options.is_driver = true;
	store->pidfd = -1;
	store->images_dir = fcntl(session->images_dir, F_DUPFD_CLOEXEC, 0);
	store->next = session->stores;
	session->stores = store;
	return store;
}

static struct op_store *from_request(struct session *session, const struct ccr_message *request)
{
	const struct copy_options options = session_copy_options(request);
	const pid_t own_pid = pidfd_pid(session->pidfd);
	struct op_store *store;

	/* The driver is asked by pid, which this program must be able to see. */
	if (own_pid <= 0 || session->images_dir < 0)
		return NULL;
	store = new_store(session, request->op.image_pid, &options);
	if (!store)
		return NULL;
	store->options.earlier = session->earlier;
	store->number = request->operation;
	store->pid = request->op.pid;
	store->own_pid = own_pid;
	store->pidfd = fcntl(session->pidfd, F_DUPFD_CLOEXEC, 0);
	return store;
}

static void list(struct op_store *store, const struct ccr_message *request, bool is_restore)
{
	store->operation = (struct operation){
		.is_restore = is_restore,
		.number = store->number,
		.pid = store->own_pid,
		.image_pid = store->image_pid,
		.criu = request->op.criu,
		.progress = &store->copied,
	};
	operation_begin(&store->operation, is_restore ? OPERATION_LOADING : OPERATION_SAVING);
}

/* The rest of the plugin's step `checkpoint` or `restore` is the driver's. */
static void note_copying(const struct op_store *store)
{
	if (store->copy_start)
		ccr_status_span(&store->session->status, store->pid, "pool", "custom storage",
				store->copy_start, store->copy_start + store->copy_ms);
}

/* --- dump --- */

static void note_store(const struct op_store *store, int result)
{
	note_copying(store);
	session_note_evict(store->session, &(struct moved){.pid = store->pid,
							   .result = result,
							   .is_storage = true,
							   .bytes = store->copied.total_bytes,
							   .options = &store->options,
							   .copied = &store->copied,
							   .wait_ms = store->driver_ms,
							   .copy_ms = store->copy_ms});
	atomic_fetch_add(result ? &pool.counters.failures : &pool.counters.dumps, 1);
	if (!result)
		atomic_fetch_add(&pool.counters.bytes_saved, store->copied.total_bytes);
}

static void *store_thread(void *argument)
{
	struct op_store *store = argument;
	char error[384] = "";
	const int ret = op_store_make(store, error, sizeof(error));

	note_store(store, ret);
	operation_end(&store->operation);
	atomic_store(&store->has_ended, true);
	session_reply(store->session, CCR_MSG_OP_RESULT, store->number, ret, error);
	return NULL;
}

static void begin(struct op_store *store, const struct ccr_message *request,
		  void *(*run)(void *store), bool is_restore)
{
	list(store, request, is_restore);
	session_reply(store->session, CCR_MSG_OP_READY, store->number, 0, NULL);
	atomic_store(&store->has_ended, false);
	store->has_thread = !pthread_create(&store->thread, NULL, run, store);
	if (store->has_thread)
		return;
	operation_end(&store->operation);
	session_reply(store->session, CCR_MSG_OP_RESULT, store->number, -EAGAIN,
		      "cannot start a thread");
}

static void refuse(const struct session *session, uint32_t number)
{
	session_reply(session, CCR_MSG_OP_RESULT, number, -ESRCH,
		      "the process is gone, or not visible to cuda-poold");
}

void op_store(struct session *session, const struct ccr_message *request)
{
	struct op_store *store =
		find(session, request->operation) ? NULL : from_request(session, request);

	if (store)
		begin(store, request, store_thread, false);
	else
		refuse(session, request->operation);
}

/* --- restore, and undo --- */

static void note_unstore(const struct op_store *store, int result, const char *error)
{
	note_copying(store);
	session_note_attach(store->session,
			    &(struct moved){.pid = store->pid,
					    .result = result,
					    .is_storage = true,
					    .bytes = store->copied.total_bytes,
					    .source = store->kept.memory ? "held"
						      : !store->load	 ? "files"
						      : store->is_golden ? "golden"
									 : "resident",
					    .options = &store->options,
					    .copied = &store->copied,
					    .wait_ms = store->driver_ms + store->copy_ms,
					    .copy_ms = store->copy_ms,
					    .reason = error});
	if (result)
		atomic_fetch_add(&pool.counters.failures, 1);
	else
		atomic_fetch_add(
			store->is_undoing ? &pool.counters.roll_backs : &pool.counters.restores, 1);
}

/* The process must not continue with what is there; criu kills it. */
static void await_end(struct op_store *store)
{
	struct pollfd poller = {.fd = store->pidfd, .events = POLLIN};
	char error[256];

	if (!store->storage.handle)
		return;
	poll(&poller, 1, (int)pool.settings.lock_timeout_ms);
	storage_complete(&store->storage, error, sizeof(error));
}

static void *unstore_thread(void *argument)
{
	struct op_store *store = argument;
	char error[384] = "";
	const int ret = op_store_undo(store, error, sizeof(error));

	note_unstore(store, ret, error);
	op_store_drop(store); /* the device has room for others when criu hears of it */
	operation_end(&store->operation);
	session_reply(store->session, CCR_MSG_OP_RESULT, store->number, ret, error);
	if (ret)
		await_end(store);
	else
		store_forget(&store->kept);
	atomic_store(&store->has_ended, true);
	return NULL;
}

/* The image that was resident when the restore began, if there was one. */
static void take_resident(struct op_store *store)
{
	struct op_store *expected = store->session->stores;

	while (expected &&
	       (expected->number || !expected->load || expected->image_pid != store->image_pid))
		expected = expected->next;
	if (!expected || store->load)
		return;
	store->load = expected->load;
	store->is_golden = expected->is_golden;
	expected->load = NULL;
}

void op_unstore(struct session *session, const struct ccr_message *request)
{
	struct op_store *store = find(session, request->operation);

	if (store && store->storage.handle && atomic_load(&store->has_ended)) {
		session_reply(session, CCR_MSG_OP_RESULT, request->operation, -EUCLEAN,
			      "its memory could neither be written nor kept");
		return;
	}
	if (store && store->has_thread)
		pthread_join(store->thread, NULL);
	if (store)
		store->is_undoing = true;
	else
		store = from_request(session, request);
	if (!store) {
		refuse(session, request->operation);
		return;
	}
	store->is_undoing |= request->op.again;
	take_resident(store);
	begin(store, request, unstore_thread, true);
}

static void *expect_thread(void *argument)
{
	struct op_store *store = argument;
	struct ccr_image *image = NULL;
	int devices[CCR_MAX_DEVICES];
	char error[384];
	int ret = pool_device_wait(error, sizeof(error));

	if (!ret)
		ret = ccr_image_open(&image, store->images_dir, store->image_pid, error,
				     sizeof(error));
	if (!ret)
		ret = store_devices(image, &store->options, devices, error, sizeof(error));
	if (!ret)
		ret = store_prepare(devices, image->nr_devices, &store->options, error,
				    sizeof(error));
	if (ret) /* OP_UNSTORE finds it out as well */
		ccr_warn("%s", error);
	ccr_image_close(image);
	atomic_store(&store->has_ended, true);
	return NULL;
}

void op_store_expect(struct session *session, pid_t image_pid, const struct copy_options *options,
		     struct load *load, bool is_golden)
{
	struct op_store *store = new_store(session, image_pid, options);

	if (!store) {
		load_put(load);
		return;
	}
	store->load = load;
	store->is_golden = is_golden;
	if (!load)
		store->has_thread = !pthread_create(&store->thread, NULL, expect_thread, store);
}

/* --- end --- */

/* A driver call that hangs: a helper ends with it, since nobody is left who could wait for it. */
static void join(struct op_store *store)
{
	struct timespec until;

	if (pool.is_daemon) {
		pthread_join(store->thread, NULL);
		return;
	}
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += pool.settings.step_timeout_ms / 1000 + 1;
	if (!pthread_timedjoin_np(store->thread, NULL, &until))
		return;
	ccr_err("%d: a driver call hangs", store->pid);
	_exit(1);
}

/* An operation that was not completed: nobody can ask for the memory any more. */
static void give_up(struct op_store *store)
{
	if (!store->storage.handle)
		return;
	ccr_err("%d: its memory was not copied; killing the process", store->pid);
	syscall(SYS_pidfd_send_signal, store->pidfd, SIGKILL, NULL, 0);
	await_end(store);
}

void op_store_free_all(struct session *session)
{
	while (session->stores) {
		struct op_store *store = session->stores;

		if (store->has_thread)
			join(store);
		operation_end(&store->operation);
		give_up(store);
		store_forget(&store->kept);
		load_put(store->load);
		if (store->pidfd >= 0)
			close(store->pidfd);
		if (store->images_dir >= 0)
			close(store->images_dir);
		session->stores = store->next;
		free(store);
	}
}
