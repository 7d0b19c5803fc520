// SPDX-License-Identifier: MIT
/*
 * The driver's Checkpoint and Restore of one process with custom storage. Until
 * Complete, a Checkpoint has changed nothing: the memory is still that of the
 * process. So the image is complete before that, and if it cannot be written, a
 * copy in host memory is. After a Restore that failed, the mapping stays until the
 * process has ended, because Complete would make it look whole.
 */
#include "pool/session/op_store.h"

#include <errno.h>
#include <stdio.h>

#include "pool/images/save.h"
#include "pool/images/slabs.h"
#include "pool/images/waiting.h"

static int timed_complete(struct op_store *store, char *error, size_t size)
{
	const double start = now_ms();
	const int ret = storage_complete(&store->storage, error, size);

	store->driver_ms += now_ms() - start;
	return ret;
}

/* --- Checkpoint --- */

static int save(struct op_store *store, char *error, size_t size)
{
	char reason[256] = "";
	int ret, kept;

	ret = save_write(store->images_dir, store->image_pid, &store->storage.list, &store->options,
			 &store->copied, error, size);
	store->is_copied = !ret;
	if (!ret)
		return 0;
	kept = store_keep(&store->storage, &store->options, &store->kept, reason, sizeof(reason));
	store->is_copied = !kept;
	if (!kept)
		return ret;
	/* Without its bytes anywhere, the operation must not be completed. */
	ccr_err("%d: %s; and its memory cannot be kept: %s", store->pid, error, reason);
	return -EUCLEAN;
}

int op_store_make(struct op_store *store, char *error, size_t size)
{
	const double start = now_ms();
	char late[256] = "";
	int ret = pool_device_wait(error, size), completed;

	if (!ret)
		ret = storage_checkpoint(store->own_pid, &store->storage, error, size);
	store->driver_ms = now_ms() - start;
	if (ret && !store->storage.handle)
		return ret;
	store->copy_start = now_ms();
	if (!ret)
		ret = save(store, error, size);
	store->copy_ms = now_ms() - store->copy_start;
	if (!store->is_copied)
		return ret;
	completed = timed_complete(store, late, sizeof(late));
	if (completed)
		ccr_err("%d: %s", store->pid, late);
	if (!ret && completed)
		snprintf(error, size, "%s", late);
	return ret ? ret : completed;
}

/* --- Restore --- */

void op_store_drop(struct op_store *store)
{
	load_put(store->load);
	store->load = NULL;
}

static int load(struct op_store *store, char *error, size_t size)
{
	int ret;

	store->copy_start = now_ms();
	if (store->kept.memory)
		ret = store_put_back(&store->kept, &store->storage, &store->options, error, size);
	else if (store->load)
		ret = waiting_copy(store->load, &store->storage, &store->copied, error, size);
	else
		ret = store_load(store->image, &store->storage, &store->options, &store->copied,
				 error, size);
	store->copy_ms = now_ms() - store->copy_start;
	return ret;
}

/* Where the bytes come from, unless they are kept, and which devices they are for. */
static int find_source(struct op_store *store, int *devices, uint32_t *nr, char *error, size_t size)
{
	int ret;

	*nr = 0;
	if (store->kept.memory)
		return 0;
	/* One that could not be loaded is read again, for the error or because it is mended. */
	if (store->load && load_wait(store->load))
		op_store_drop(store);
	for (; store->load && *nr < store->load->list.nr; ++*nr)
		devices[*nr] = store->load->list.entries[*nr].device;
	if (store->load)
		return 0;
	ret = store->image ? 0
			   : ccr_image_open(&store->image, store->images_dir, store->image_pid,
					    error, size);
	if (!ret)
		ret = store_devices(store->image, &store->options, devices, error, size);
	if (!ret)
		*nr = store->image->nr_devices;
	return ret;
}

/* A device is full: drops what is only kept for later, at last the image of this process. */
static bool make_room(struct op_store *store, const int *devices, uint32_t nr)
{
	for (uint32_t i = 0; slabs_make_room && i < nr; i++)
		if (slabs_make_room(devices[i]))
			return true;
	if (!store->load || store->load->host || store->is_golden)
		return false;
	op_store_drop(store);
	return true;
}

static int begin_restore(struct op_store *store, char *error, size_t size)
{
	int devices[CCR_MAX_DEVICES], ret;
	uint32_t nr;

	do {
		ret = find_source(store, devices, &nr, error, size);
		if (!ret)
			ret = storage_restore(store->own_pid, &store->options.map, devices, nr,
					      &store->storage, error, size);
	} while (ret == -ENOMEM && make_room(store, devices, nr));
	return ret;
}

static int restore_from(struct op_store *store, char *error, size_t size)
{
	const double start = now_ms();
	int ret = begin_restore(store, error, size);

	store->driver_ms = now_ms() - start;
	if (!ret)
		ret = load(store, error, size);
	return ret ? ret : timed_complete(store, error, size);
}

/* Whether there is anything to restore: an OP_STORE may have failed before it changed anything. */
static int is_checkpointed(const struct op_store *store, char *error, size_t size)
{
	CUprocessState state = CU_PROCESS_STATE_FAILED;
	const int ret = storage_state(store->own_pid, &state, error, size);

	if (ret)
		return ret;
	if (state == CU_PROCESS_STATE_CHECKPOINTED)
		return 1;
	if (store->is_undoing &&
	    (state == CU_PROCESS_STATE_LOCKED || state == CU_PROCESS_STATE_RUNNING))
		return 0;
	snprintf(error, size, "the driver reports state %d of process %d", state, store->own_pid);
	return state == CU_PROCESS_STATE_FAILED ? -EIO : -EBUSY;
}

int op_store_undo(struct op_store *store, char *error, size_t size)
{
	int ret = pool_device_wait(error, size);

	if (!ret)
		ret = is_checkpointed(store, error, size);
	if (ret <= 0)
		return ret;
	ret = restore_from(store, error, size);
	ccr_image_close(store->image);
	store->image = NULL;
	return ret;
}
