// SPDX-License-Identifier: MIT
/*
 * I/O that bypasses the page cache: O_DIRECT with several io_uring requests in
 * flight per thread, or one request at a time if the kernel refuses io_uring.
 * File systems without O_DIRECT get ordinary reads and writes.
 */
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/io.h"
#include "transfer/io/io.h"

#define DEPTH	  16
#define REQUEST	  (1u << 20)
#define SET_ASIDE (64ull << 20)

struct ccr_io_ring {
	struct io_uring uring;
};

static struct ccr_io_ring *ring_of(struct ccr_io_queue *queue)
{
	if (queue->ring || queue->is_refused)
		return queue->ring;
	queue->ring = malloc(sizeof(*queue->ring));
	/* Whether seccomp, a sysctl or an old kernel refuses io_uring makes no difference here. */
	if (queue->ring && io_uring_queue_init(DEPTH, &queue->ring->uring, 0)) {
		free(queue->ring);
		queue->ring = NULL;
	}
	queue->is_refused = !queue->ring;
	return queue->ring;
}

void ccr_io_queue_end(struct ccr_io_queue *queue)
{
	if (queue->ring)
		io_uring_queue_exit(&queue->ring->uring);
	free(queue->ring);
	queue->ring = NULL;
}

static void begin(struct ccr_io_file *file, bool is_write)
{
	file->saved_flags = fcntl(file->fd, F_GETFL);
	file->is_direct =
		file->saved_flags >= 0 && !fcntl(file->fd, F_SETFL, file->saved_flags | O_DIRECT);
	file->set_aside = 0;
}

static void end(struct ccr_io_file *file)
{
	if (file->is_direct)
		fcntl(file->fd, F_SETFL, file->saved_flags);
	file->is_direct = false;
}

/* Without io_uring. Direct reads end on a page boundary, so the last one may be short. */
static int sync_transfer(struct ccr_io_file *file, char *buffer, size_t length, uint64_t offset,
			 bool is_write)
{
	return is_write ? ccr_io_pwrite_full(file->fd, buffer, length, offset)
			: ccr_io_pread_full(file->fd, buffer, length, offset);
}

struct transfer {
	struct ccr_io_file *file;
	char *buffer;
	size_t length;
	uint64_t offset;
	bool is_write;
	size_t queued; /* bytes queued so far */
	unsigned int in_flight;
	int result;
};

static void queue_more(struct io_uring *uring, struct transfer *t)
{
	while (!t->result && t->queued < t->length && t->in_flight < DEPTH) {
		struct io_uring_sqe *sqe = io_uring_get_sqe(uring);
		const size_t left = t->length - t->queued;
		const size_t bytes = left < REQUEST ? left : REQUEST;

		if (!sqe)
			return;
		if (t->is_write)
			io_uring_prep_write(sqe, t->file->fd, t->buffer + t->queued, bytes,
					    t->offset + t->queued);
		else
			io_uring_prep_read(sqe, t->file->fd, t->buffer + t->queued, bytes,
					   t->offset + t->queued);
		/* Start of the request, to finish a short one. 32 bits are enough, see REQUEST. */
		io_uring_sqe_set_data64(sqe, t->queued);
		t->queued += bytes;
		t->in_flight++;
	}
}

static void reap(struct transfer *t, uint64_t start, int moved)
{
	const size_t left = t->length - start;
	const size_t bytes = left < REQUEST ? left : REQUEST;

	t->in_flight--;
	if (t->result || moved == (int)bytes)
		return;
	if (moved < 0 && moved != -EINTR && moved != -EAGAIN) {
		t->result = moved;
		return;
	}
	if (moved < 0)
		moved = 0;
	/* A short transfer is rare. The rest must start on a page again. */
	moved &= ~4095;
	t->result = sync_transfer(t->file, t->buffer + start + moved, bytes - moved,
				  t->offset + start + moved, t->is_write);
}

/*
 * Fails with -EIO only when the kernel accepts no more requests, after which
 * the ring is unusable. The result of the transfer itself is in t->result.
 */
static int ring_transfer(struct io_uring *uring, struct transfer *t)
{
	int ret = 0;

	while (t->in_flight || (!ret && !t->result && t->queued < t->length)) {
		struct io_uring_cqe *cqe;
		int submitted;

		if (!ret)
			queue_more(uring, t);
		submitted =
			ret ? io_uring_wait_cqe(uring, &cqe) : io_uring_submit_and_wait(uring, 1);
		if (submitted < 0 && submitted != -EINTR && submitted != -EAGAIN &&
		    submitted != -EBUSY) {
			if (ret)
				return -EIO;
			ret = -EIO;
			t->in_flight -= io_uring_sq_ready(uring); /* the kernel never saw these */
		}
		while (!io_uring_peek_cqe(uring, &cqe)) {
			reap(t, io_uring_cqe_get_data64(cqe), cqe->res);
			io_uring_cqe_seen(uring, cqe);
		}
	}
	return ret;
}

static int direct_transfer(struct ccr_io_queue *queue, struct ccr_io_file *file, char *buffer,
			   size_t length, uint64_t offset, bool is_write)
{
	struct ccr_io_ring *ring = ring_of(queue);
	struct transfer t = {
		.file = file,
		.buffer = buffer,
		.length = length,
		.offset = offset,
		.is_write = is_write,
	};

	if (!ring)
		return sync_transfer(file, buffer, length, offset, is_write);
	if (!ring_transfer(&ring->uring, &t))
		return t.result;
	ccr_io_queue_end(queue);
	queue->is_refused = true;
	return sync_transfer(file, buffer, length, offset, is_write);
}

static int transfer(struct ccr_io_queue *queue, struct ccr_io_file *file, char *buffer,
		    size_t length, uint64_t offset, bool is_write)
{
	const bool is_direct = file->is_direct;
	int ret = -EINVAL;

	if (is_direct)
		ret = direct_transfer(queue, file, buffer, length, offset, is_write);
	if (ret != -EINVAL)
		return ret;
	if (is_direct) /* the file system requires a larger alignment */
		end(file);
	return sync_transfer(file, buffer, length, offset, is_write);
}

static int read_file(struct ccr_io_queue *queue, struct ccr_io_file *file, void *buffer,
		     size_t length, uint64_t offset)
{
	return transfer(queue, file, buffer, (length + 4095) & ~(size_t)4095, offset, false);
}

/*
 * Allocates space in large steps, because file systems serialize writes that
 * grow a file. The commit of the image truncates what was not used.
 */
static int write_file(struct ccr_io_queue *queue, struct ccr_io_file *file, const void *buffer,
		      size_t length, uint64_t offset)
{
	if (offset + length > file->set_aside) {
		const uint64_t step = length > SET_ASIDE ? length : SET_ASIDE;

		if (!fallocate(file->fd, 0, offset, step))
			file->set_aside = offset + step;
		else
			file->set_aside =
				UINT64_MAX; /* unsupported or full; the write reports a full disk */
	}
	return transfer(queue, file, (char *)buffer, length, offset, true);
}

const struct ccr_io_ops ccr_io_direct = {
	.name = "direct",
	.begin = begin,
	.end = end,
	.read = read_file,
	.write = write_file,
};
