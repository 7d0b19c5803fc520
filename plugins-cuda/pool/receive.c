// SPDX-License-Identifier: MIT
/*
 * Prefetch of images whose stripes another process still brings, from a registry for example. It
 * tells which have come, and its death ends the load: memory is never kept for bytes that nobody
 * brings.
 */
#include "pool/receive.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pool/control.h"
#include "pool/images/prefetch.h"
#include "pool/images/residents.h"

struct received {
	struct image_identity identity;
	uint64_t number;   /* of its entry */
	struct load *load; /* NULL: it has ended well */
};

struct reception {
	int socket, images_dir;
	struct received *images;
	size_t nr;
	bool is_complete; /* the client has brought all of it */
	char line[CCR_IMAGE_NAME_MAX];
	size_t length;
};

static int begin(struct reception *r, const char *dir, bool is_golden, char *error, size_t size)
{
	pid_t *pids = NULL;
	size_t nr = 0;
	int ret;

	r->images_dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ret = r->images_dir < 0 ? -errno : load_list_images(r->images_dir, &pids, &nr, error, size);
	if (!ret && !nr) {
		ret = -ENOENT;
		snprintf(error, size, "%s holds no GPU image (cuda-<pid>.img)", dir);
	}
	r->images = ret ? NULL : calloc(nr, sizeof(*r->images));
	if (!ret && !r->images)
		ret = -ENOMEM;
	for (; !ret && r->nr < nr; r->nr += !ret)
		ret = prefetch_arriving(r->images_dir, pids[r->nr], is_golden,
					&r->images[r->nr].identity, &r->images[r->nr].number,
					&r->images[r->nr].load, error, size);
	free(pids);
	return ret;
}

static int take_line(struct reception *r, char *error, size_t size)
{
	int ret = 0;

	r->line[r->length] = '\0';
	r->length = 0;
	if (!*r->line) {
		r->is_complete = true;
		for (size_t i = 0; !ret && i < r->nr; i++)
			if (r->images[i].load && load_missing(r->images[i].load)) {
				ret = -ENODATA;
				snprintf(error, size, "%u stripes of cuda-%d.img did not arrive",
					 load_missing(r->images[i].load),
					 r->images[i].identity.pid);
			}
		return ret;
	}
	for (size_t i = 0; !ret && i < r->nr; i++)
		if (r->images[i].load)
			ret = load_arrived(r->images[i].load, r->line, error, size);
	return ret;
}

/* Takes what the client has sent. */
static int take(struct reception *r, char *error, size_t size)
{
	char bytes[4096];
	const ssize_t got = recv(r->socket, bytes, sizeof(bytes), MSG_DONTWAIT);
	int ret = 0;

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (got <= 0) {
		snprintf(error, size, "the command that fetches it ended before all had arrived");
		return -ECANCELED;
	}
	for (ssize_t i = 0; !ret && !r->is_complete && i < got; i++) {
		if (bytes[i] == '\n') {
			ret = take_line(r, error, size);
		} else if (r->length + 1 == sizeof(r->line)) {
			snprintf(error, size, "the name of a stripe is too long");
			ret = -EINVAL;
		} else {
			r->line[r->length++] = bytes[i];
		}
	}
	return ret;
}

/* Drops the loads that have ended: a restore that has taken one gets the room of what it does not
 * need. Returns whether any has not, or its -errno if one has failed. */
static int look(struct reception *r, char *error, size_t size)
{
	int is_loading = 0;

	for (size_t i = 0; i < r->nr; i++) {
		struct received *image = &r->images[i];
		int ret;

		if (!image->load)
			continue;
		if (!load_has_ended(image->load)) {
			is_loading = 1;
			continue;
		}
		ret = load_wait(image->load);
		if (ret) {
			snprintf(error, size, "%s", image->load->error);
			return ret;
		}
		load_put(image->load);
		image->load = NULL;
	}
	return is_loading;
}

/* Waits for the client, as long as something is to come from it, or for the end of a load. */
static int wait_for_either(const struct reception *r)
{
	struct pollfd *pollers = calloc(r->nr + 1, sizeof(*pollers));

	if (!pollers)
		return -ENOMEM;
	pollers[r->nr] = (struct pollfd){.fd = r->is_complete ? -1 : r->socket, .events = POLLIN};
	for (size_t i = 0; i < r->nr; i++)
		pollers[i] =
			(struct pollfd){.fd = r->images[i].load ? r->images[i].load->ended_fd : -1,
					.events = POLLIN};
	while (poll(pollers, r->nr + 1, -1) < 0 && errno == EINTR)
		;
	free(pollers);
	return 0;
}

static int receive(struct reception *r, char *error, size_t size)
{
	int is_loading = look(r, error, size);

	while (is_loading > 0 || (!is_loading && !r->is_complete)) {
		int ret = wait_for_either(r);

		if (!ret && !r->is_complete)
			ret = take(r, error, size);
		if (ret)
			return ret;
		is_loading = look(r, error, size);
	}
	return is_loading;
}

static void end(struct reception *r, int ret, const char *why)
{
	for (size_t i = 0; i < r->nr; i++) {
		struct received *image = &r->images[i];

		if (ret) {
			if (image->load)
				load_give_up(image->load, why);
			resident_give_up(image->number);
		} else {
			resident_rename(&image->identity, r->images_dir);
		}
		load_put(image->load);
	}
	free(r->images);
	if (r->images_dir >= 0)
		close(r->images_dir);
}

int receive_images(int socket, const char *dir, bool is_golden, size_t *nr, char *error,
		   size_t size)
{
	struct reception r = {.socket = socket};
	char begun[64];
	int ret;

	*error = '\0';
	ret = begin(&r, dir, is_golden, error, size);
	if (!ret) {
		snprintf(begun, sizeof(begun), "{\"loading\":%zu}\n", r.nr);
		control_send(socket, begun, strlen(begun));
		ret = receive(&r, error, size);
	}
	if (ret && !*error)
		snprintf(error, size, "%s: %s", dir, strerror(-ret));
	if (ret)
		ccr_warn("%s: %s", dir, error);
	*nr = r.nr;
	end(&r, ret, error);
	atomic_fetch_add(ret ? &pool.counters.failures : &pool.counters.prefetches, 1);
	return ret;
}
