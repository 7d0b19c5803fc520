// SPDX-License-Identifier: MIT
/* A load as others see it: what has arrived for it, and whether it has ended. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pool/images/load.h"

int load_expect(struct load *load)
{
	const struct ccr_image *image = load->image;

	load->arrived = calloc(image->nr_stripes + 1, sizeof(*load->arrived));
	if (!load->arrived)
		return -ENOMEM;
	for (uint32_t i = 0; i < image->nr_stripes; i++) {
		const bool is_there = image->stripes[i].fd >= 0;

		atomic_init(&load->arrived[i], is_there);
		load->nr_missing += !is_there;
	}
	return 0;
}

/* Call with the lock held. Workers of the engine sleep while no stripe is there. */
static void wake(struct load *load)
{
	pthread_cond_broadcast(&load->progress);
	if (load->engine)
		cuda_parallel_wake(load->engine);
}

/* Call with the lock held. The stripe with this name that is missing, or the number of stripes. */
static uint32_t find_missing(const struct load *load, const char *name)
{
	const struct ccr_image *image = load->image;
	uint32_t i = 0;

	while (i < image->nr_stripes &&
	       (atomic_load(&load->arrived[i]) || strcmp(image->stripes[i].name, name)))
		i++;
	return i;
}

int load_arrived(struct load *load, const char *name, char *error, size_t size)
{
	int ret = 0;

	pthread_mutex_lock(&load->lock);
	if (load->image && load->arrived) {
		const uint32_t stripe = find_missing(load, name);

		if (stripe < load->image->nr_stripes) {
			ret = ccr_image_open_stripe(load->image, stripe, error, size);
			atomic_store(&load->arrived[stripe], !ret);
			load->nr_missing -= !ret;
			wake(load);
		}
	}
	pthread_mutex_unlock(&load->lock);
	return ret;
}

void load_give_up(struct load *load, const char *why)
{
	pthread_mutex_lock(&load->lock);
	if (!load->ended && !*load->given_up) {
		snprintf(load->given_up, sizeof(load->given_up), "%s", why);
		cuda_parallel_cancel(&load->job);
		wake(load);
	}
	pthread_mutex_unlock(&load->lock);
}

uint32_t load_missing(struct load *load)
{
	uint32_t nr;

	pthread_mutex_lock(&load->lock);
	nr = load->nr_missing;
	pthread_mutex_unlock(&load->lock);
	return nr;
}

int load_wait_for_stripes(struct load *load)
{
	int ret;

	pthread_mutex_lock(&load->lock);
	while (load->nr_missing && !*load->given_up)
		pthread_cond_wait(&load->progress, &load->lock);
	ret = *load->given_up ? -ECANCELED : 0;
	pthread_mutex_unlock(&load->lock);
	return ret;
}

double load_duration_ms(struct load *load)
{
	double ms;

	pthread_mutex_lock(&load->lock);
	ms = load->ms;
	pthread_mutex_unlock(&load->lock);
	return ms;
}

int load_wait(struct load *load)
{
	int result;

	pthread_mutex_lock(&load->lock);
	while (!load->ended)
		pthread_cond_wait(&load->progress, &load->lock);
	result = load->result;
	pthread_mutex_unlock(&load->lock);
	return result;
}

int load_wait_for(struct load *load, int socket)
{
	struct pollfd pollers[] = {{.fd = load->ended_fd, .events = POLLIN},
				   {.fd = socket, .events = POLLRDHUP}};

	while (load->ended_fd >= 0 && !pollers[0].revents) {
		if (poll(pollers, 2, -1) < 0 && errno != EINTR)
			return -errno;
		if (!pollers[0].revents && pollers[1].revents)
			return -EPIPE;
	}
	return load_wait(load);
}

bool load_has_ended(struct load *load)
{
	bool has_ended;

	pthread_mutex_lock(&load->lock);
	has_ended = load->ended;
	pthread_mutex_unlock(&load->lock);
	return has_ended;
}
