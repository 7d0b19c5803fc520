// SPDX-License-Identifier: GPL-2.0-only
/*
 * Late memory: private memory of a restored task that threads of criu still fill while the driver
 * restores the task. Only the driver's restore thread runs meanwhile. If it needs a page that is
 * not there yet, it waits in the kernel (userfaultfd) until that page is brought in.
 */
#ifndef CCR_PLUGIN_LATE_H
#define CCR_PLUGIN_LATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ccr_pages;
struct injection;
struct late;

/* What happened. */
struct late_account {
	uint64_t bytes;	 /* in the ranges */
	uint64_t faults; /* how often the restore thread has waited */
};

/* Whether the task has so much memory that may be late that it is worth it, and the settings and
 * this machine allow it. */
bool ccr__late_is_wanted(const struct ccr_pages *pages);
/*
 * Makes the emptied mappings that may be late so; they have the protection that they will have.
 * Pages that are there stay. `fd`: the page file; both must stay open until the end. Returns 0;
 * -ENOTSUP: it is not possible, and nothing was changed; or another -errno: the task does not
 * respond, or must not run.
 */
int ccr__late_begin(struct late **late, struct injection *in, const struct ccr_pages *pages,
		    int fd);
/* Brings in pages that are not there yet, except those of zeroes, on any thread. Returns 0 or
 * -errno. */
int ccr__late_write(struct late *late, uint64_t address, const char *bytes, size_t size);
/* 0, or -errno: the restore thread may wait forever, and the task has to be killed. */
int ccr__late_failure(const struct late *late);
/*
 * When all was written and the restore thread is stopped: the memory is ordinary memory from then
 * on. Returns 0, or -errno, with the reason in the log: the task must not run.
 */
int ccr__late_end(struct late *late, struct late_account *account);
/* Instead, if the task will be killed: nothing is written any more, and what waits has to wait
 * until ccr__late_forget, which is to be called when the task is dead. */
void ccr__late_abandon(struct late *late);
void ccr__late_forget(void);

#endif
