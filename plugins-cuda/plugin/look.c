// SPDX-License-Identifier: GPL-2.0-only
/*
 * The look before a dump and before a restore. A dump is refused before anything
 * was moved and before the driver was asked to change anything: the tree runs on
 * as if nothing had happened.
 */
#include "plugin/plugin.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "look/look.h"
#include "plugin/task/task.h"

/* The processes that were looked at. CRIU asks about the root of a tree first, except in a cgroup.
 */
static pid_t *seen;
static size_t nr_seen;

static bool is_seen(pid_t pid)
{
	for (size_t i = 0; i < nr_seen; i++)
		if (seen[i] == pid)
			return true;
	return false;
}

static int note_seen(const struct ccr_look *look)
{
	pid_t *longer = realloc(seen, (nr_seen + look->nr_pids) * sizeof(*seen));

	if (!longer)
		return -ENOMEM;
	seen = longer;
	memcpy(seen + nr_seen, look->pids, look->nr_pids * sizeof(*seen));
	nr_seen += look->nr_pids;
	return 0;
}

static void log_reason(const struct ccr_look_reason *reason, bool refuses)
{
	const struct ccr_look_row *row = &ccr_look_rows[reason->kind];
	char sentence[512];

	ccr_look_sentence(reason, sentence, sizeof(sentence));
	if (refuses && row->severity == CCR_LOOK_GUESS)
		ccr_err("%s; %s; if the guess is wrong, set CRIU_CUDA_FORCE=1", sentence,
			row->remedy);
	else if (refuses && row->severity == CCR_LOOK_REFUSE)
		ccr_err("%s; %s", sentence, row->remedy);
	else
		ccr_warn("%s; %s", sentence, row->remedy);
}

static void report_reason(const struct ccr_look_reason *reason)
{
	const struct ccr_look_row *row = &ccr_look_rows[reason->kind];
	char sentence[512], text[600], remedy[512];

	ccr_look_sentence(reason, sentence, sizeof(sentence));
	ccr_status_add(&ccr__plugin.status,
		       "{\"event\":\"reason\",\"kind\":\"%s\",\"severity\":\"%s\",\"pid\":%d,"
		       "\"text\":\"%s\",\"remedy\":\"%s\"}",
		       row->name, ccr_look_severity_name(row->severity), reason->pid,
		       ccr_status_quoted(text, sizeof(text), sentence),
		       ccr_status_quoted(remedy, sizeof(remedy), row->remedy));
}

static int judge(const struct ccr_look *look, int stage)
{
	const bool refuses = ccr_look_refuses(look, ccr__plugin.settings.force);
	int ret;

	for (size_t i = 0; i < look->nr_reasons; i++)
		log_reason(&look->reasons[i], refuses);
	if (!refuses)
		return 0;
	ret = ccr__begin(stage); /* opens the status file */
	if (ret)
		return ret;
	for (size_t i = 0; i < look->nr_reasons; i++)
		report_reason(&look->reasons[i]);
	return -EBUSY;
}

static struct ccr_look_request request_of(pid_t pid)
{
	const struct plugin *p = &ccr__plugin;
	const bool is_full = !strcmp(CCR_VARIANT, "full");

	return (struct ccr_look_request){
		.pid = pid,
		.settings = &p->settings,
		.driver = &p->driver,
		.images_dir = criu_get_image_dir(),
		.uses_pool = is_full || !strcmp(CCR_VARIANT, "parallel"),
		.uses_daemon = is_full,
		.falls_back = is_full,
		.keeps_running = opts.final_state != FINAL_DEAD,
	};
}

int ccr__look_before_dump(pid_t pid, const pid_t **pids, size_t *nr)
{
	const size_t nr_before = nr_seen;
	const struct ccr_look_request request = request_of(pid);
	const double start = ccr__now_ms();
	struct ccr_look look;
	int ret;

	*nr = 0;
	if (is_seen(pid))
		return 0;
	ret = ccr_look_at(&request, &look);
	if (ret == -ESRCH) /* CRIU finds out itself */
		return 0;
	if (ret) {
		ccr_err("cannot look at %d: %s", pid, strerror(-ret));
		return ret;
	}
	ret = note_seen(&look);
	if (!ret)
		ret = judge(&look, STAGE_DUMP);
	*pids = seen + nr_before;
	*nr = nr_seen - nr_before;
	ccr_info("looked at %zu processes, %zu threads and %zu mappings in %.1f ms", look.nr_pids,
		 look.nr_threads, look.nr_mappings, ccr__now_ms() - start);
	ccr_look_free(&look);
	return ret;
}

int ccr__look_without_pool(pid_t pid)
{
	struct ccr_look_request request = request_of(pid);
	struct ccr_look look;
	int ret;

	request.uses_pool = request.uses_daemon = false;
	ret = ccr_look_at(&request, &look);
	if (ret) {
		ccr_err("cannot look at %d: %s", pid, strerror(-ret));
		return ret;
	}
	ret = judge(&look, STAGE_DUMP);
	ccr_look_free(&look);
	return ret;
}

int ccr__look_before_restore(void)
{
	const struct ccr_look_request request = request_of(0);
	struct ccr_look look;
	int ret = ccr_look_at_images(&request, &look);

	if (ret) {
		ccr_err("cannot look at the images: %s", strerror(-ret));
		return ret;
	}
	ret = judge(&look, STAGE_RESTORE);
	ccr_look_free(&look);
	return ret;
}
