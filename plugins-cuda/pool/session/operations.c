// SPDX-License-Identifier: MIT
#include "pool/session/operations.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct operation *operations;

void operation_begin(struct operation *operation, enum operation_state state)
{
	pthread_mutex_lock(&lock);
	operation->state = state;
	if (!operation->is_listed) {
		operation->is_listed = true;
		operation->next = operations;
		operations = operation;
	}
	pthread_mutex_unlock(&lock);
}

void operation_change(struct operation *operation, enum operation_state state)
{
	pthread_mutex_lock(&lock);
	if (operation->is_listed)
		operation->state = state;
	pthread_mutex_unlock(&lock);
}

void operation_end(struct operation *operation)
{
	struct operation **link = &operations;

	pthread_mutex_lock(&lock);
	if (operation->is_listed) {
		while (*link != operation)
			link = &(*link)->next;
		*link = operation->next;
		operation->is_listed = false;
	}
	pthread_mutex_unlock(&lock);
}

static const char *name_of(enum operation_state state, const struct copy_progress *progress)
{
	static const char *const names[] = {
		[OPERATION_LOADING] = "loading",     [OPERATION_EVICTING] = "evicting",
		[OPERATION_SAVING] = "saving",	     [OPERATION_HELD] = "held",
		[OPERATION_ATTACHING] = "attaching", [OPERATION_RETURNING] = "returning",
		[OPERATION_FAILED] = "failed",
	};

	if (state != OPERATION_LOADING)
		return names[state];
	if (atomic_load(&progress->is_failed))
		return "failed";
	return atomic_load(&progress->is_complete) ? "ready" : "loading";
}

/* 0 is printed as null. */
static void print_number(FILE *out, const char *name, uint32_t number)
{
	if (number)
		fprintf(out, ",\"%s\":%u", name, number);
	else
		fprintf(out, ",\"%s\":null", name);
}

void operations_print(FILE *out)
{
	const char *comma = "";

	fputc('[', out);
	pthread_mutex_lock(&lock);
	for (const struct operation *o = operations; o; o = o->next) {
		fprintf(out, "%s{\"kind\":\"%s\",\"state\":\"%s\"", comma,
			o->is_restore ? "restore" : "dump", name_of(o->state, o->progress));
		print_number(out, "operation", o->number);
		print_number(out, "pid", o->pid);
		print_number(out, "image_pid", o->image_pid);
		print_number(out, "criu", o->criu);
		fprintf(out, ",\"done_bytes\":%llu,\"total_bytes\":%llu}",
			(unsigned long long)atomic_load(&o->progress->done_bytes),
			(unsigned long long)atomic_load(&o->progress->total_bytes));
		comma = ",";
	}
	pthread_mutex_unlock(&lock);
	fputc(']', out);
}
