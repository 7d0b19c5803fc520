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
	double copying;
	int ret = pool_device_wait(error, size), completed;

	if (!ret)
		ret = storage_checkpoint(store->own_pid, &store->storage, error, size);
	store->driver_ms = now_ms() - start;
	if (ret && !store->storage.handle)
		return ret;
	copying = now_ms();
	if (!ret)
		ret = save(store, error, size);
	store->copy_ms = now_ms() - copying;
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

static int load(struct op_store *store, const struct ccr_image *image, char *error, size_t size)
{
	const double start = now_ms();
	const int ret = store->kept.memory ? store_put_back(&store->kept, &store->storage,
							    &store->options, error, size)
					   : store_load(image, &store->storage, &store->options,
							&store->copied, error, size);

	store->copy_ms = now_ms() - start;
	return ret;
}

static int restore_from(struct op_store *store, const struct ccr_image *image, char *error,
			size_t size)
{
	int devices[CCR_MAX_DEVICES], ret = 0;
	const uint32_t nr_devices = image ? image->nr_devices : 0;
	const double start = now_ms();

	if (image)
		ret = store_devices(image, &store->options, devices, error, size);
	if (!ret)
		ret = storage_restore(store->own_pid, &store->options.map, devices, nr_devices,
				      &store->storage, error, size);
	store->driver_ms = now_ms() - start;
	if (!ret)
		ret = load(store, image, error, size);
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
	struct ccr_image *image = NULL;
	int ret = pool_device_wait(error, size);

	if (!ret)
		ret = is_checkpointed(store, error, size);
	if (ret <= 0)
		return ret;
	ret = 0;
	if (!store->kept.memory)
		ret = ccr_image_open(&image, store->images_dir, store->image_pid, error, size);
	if (!ret)
		ret = restore_from(store, image, error, size);
	ccr_image_close(image);
	return ret;
}
