// SPDX-License-Identifier: MIT
// Handles for the program: {generation, index, type}. A handle is invalid once its object is gone,
// even if the slot is used again.
#include "softcuda/softcuda.h"

#include <pthread.h>
#include <stdlib.h>

struct slot {
	void *object;
	uint32_t generation;
	uint8_t type;
	size_t next_free;
};

static struct {
	pthread_mutex_t lock;
	struct slot *slots;
	size_t count, room, free_head; // slot 0 is never used
} handles = {.lock = PTHREAD_MUTEX_INITIALIZER};

static uint64_t encode(size_t index)
{
	const struct slot *slot = &handles.slots[index];

	return (uint64_t)(slot->generation & 0xffffff) << 32 | (uint64_t)index << 8 |
	       (uint64_t)slot->type << 4;
}

static size_t take_slot(void)
{
	size_t index = handles.free_head;

	if (index) {
		handles.free_head = handles.slots[index].next_free;
		return index;
	}
	if (handles.count == handles.room) {
		size_t room = handles.room ? handles.room * 2 : 64;
		struct slot *slots = realloc(handles.slots, room * sizeof(*slots));

		if (!slots || room > 1u << 24)
			return 0;
		handles.slots = slots;
		handles.room = room;
		if (!handles.count)
			handles.slots[handles.count++] = (struct slot){0};
	}
	handles.slots[handles.count] = (struct slot){0};
	return handles.count++;
}

uint64_t ccr_handle_new(enum ccr_handle_type type, void *object)
{
	uint64_t handle = 0;
	size_t index;

	pthread_mutex_lock(&handles.lock);
	index = take_slot();
	if (index) {
		handles.slots[index].object = object;
		handles.slots[index].type = (uint8_t)type;
		handles.slots[index].generation++;
		handle = encode(index);
	}
	pthread_mutex_unlock(&handles.lock);
	return handle;
}

void *ccr_handle_get(enum ccr_handle_type type, uint64_t handle)
{
	size_t index = handle >> 8 & 0xffffff;
	void *object = NULL;

	pthread_mutex_lock(&handles.lock);
	if (index && index < handles.count && handles.slots[index].object &&
	    handles.slots[index].type == (uint8_t)type && encode(index) == handle)
		object = handles.slots[index].object;
	pthread_mutex_unlock(&handles.lock);
	return object;
}

void ccr_handle_drop(uint64_t handle)
{
	size_t index = handle >> 8 & 0xffffff;

	pthread_mutex_lock(&handles.lock);
	if (index && index < handles.count && handles.slots[index].object &&
	    encode(index) == handle) {
		handles.slots[index].object = NULL;
		handles.slots[index].next_free = handles.free_head;
		handles.free_head = index;
	}
	pthread_mutex_unlock(&handles.lock);
}
