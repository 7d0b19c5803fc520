// SPDX-License-Identifier: MIT
/*
 * cuda-look: prints the look at a process tree as JSON. It is installed next to each
 * variant of the plugin, and sees what the plugin would see.
 */
#include "look/look.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/status.h"

static const char usage[] =
	"usage: cuda-look --pid PID [--images-dir DIR] [--leave-running]   looks at a process "
	"tree\n"
	"       cuda-look --images-dir DIR                                looks at a checkpoint\n"
	"       cuda-look --kinds                                         prints the table\n";

struct options {
	pid_t pid;
	const char *images_dir;
	bool keeps_running, wants_kinds;
};

static const char *quoted(const char *text)
{
	static char out[4][1024];
	static unsigned int next;

	return ccr_status_quoted(out[++next % 4], sizeof(out[0]), text);
}

static double now_ms(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1e3 + time.tv_nsec / 1e6;
}

static void print_kinds(void)
{
	printf("[\n");
	for (int i = 0; i < CCR_LOOK_NR_KINDS; i++) {
		const struct ccr_look_row *row = &ccr_look_rows[i];

		printf("  {\"name\":\"%s\",\"severity\":\"%s\",\"text\":\"%s\",\"remedy\":\"%s\","
		       "\"carried\":\"%s\"}%s\n",
		       row->name, ccr_look_severity_name(row->severity), quoted(row->text),
		       quoted(row->remedy), row->carried ? row->carried : "",
		       i + 1 < CCR_LOOK_NR_KINDS ? "," : "");
	}
	printf("]\n");
}

static void print_reason(const struct ccr_look_reason *reason, bool is_first)
{
	const struct ccr_look_row *row = &ccr_look_rows[reason->kind];
	char sentence[1024];

	printf("%s\n    {\"kind\":\"%s\",\"severity\":\"%s\",\"pid\":%d,\"text\":\"%s\","
	       "\"remedy\":\"%s\"}",
	       is_first ? "" : ",", row->name, ccr_look_severity_name(row->severity), reason->pid,
	       quoted(ccr_look_sentence(reason, sentence, sizeof(sentence))), quoted(row->remedy));
}

static void print_look(const struct ccr_look *look, bool forced, double ms)
{
	printf("{\n  \"refused\":%s,\n  \"forced\":%s,\n  \"usesCuda\":%s,\n  "
	       "\"deviceBytes\":%llu,\n"
	       "  \"mappings\":%zu,\n  \"threads\":%zu,\n  \"connections\":%zu,\n  \"pids\":[",
	       ccr_look_refuses(look, forced) ? "true" : "false", forced ? "true" : "false",
	       look->uses_cuda ? "true" : "false", (unsigned long long)look->device_bytes,
	       look->nr_mappings, look->nr_threads, look->connections);
	for (size_t i = 0; i < look->nr_pids; i++)
		printf("%s%d", i ? "," : "", look->pids[i]);
	printf("],\n  \"reasons\":[");
	for (size_t i = 0; i < look->nr_reasons; i++)
		print_reason(&look->reasons[i], !i);
	printf("%s],\n  \"ms\":%.3f\n}\n", look->nr_reasons ? "\n  " : "", ms);
}

static int look_and_print(const struct options *o, const struct ccr_settings *settings)
{
	char error[512] = "";
	struct ccr_driver driver;
	struct ccr_look_request request = {
		.pid = o->pid,
		.settings = settings,
		.images_dir = -1,
		.falls_back = !strcmp(CCR_VARIANT, "full"),
		.uses_pool = !strcmp(CCR_VARIANT, "parallel") || !strcmp(CCR_VARIANT, "full"),
		.uses_daemon = !strcmp(CCR_VARIANT, "full"),
		.keeps_running = o->keeps_running,
		.counts_connections = true,
	};
	struct ccr_look look;
	double start;
	int ret;

	if (!ccr_driver_open(&driver, settings->driver, error, sizeof(error)))
		request.driver = &driver;
	request.driver_error = error;
	if (o->images_dir) {
		request.images_dir = open(o->images_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (request.images_dir < 0) {
			fprintf(stderr, "cuda-look: cannot open %s: %s\n", o->images_dir,
				strerror(errno));
			return 1;
		}
	}
	start = now_ms();
	ret = o->pid ? ccr_look_at(&request, &look) : ccr_look_at_images(&request, &look);
	if (ret) {
		fprintf(stderr, "cuda-look: cannot look at %d: %s\n", o->pid, strerror(-ret));
		return 1;
	}
	print_look(&look, settings->force, now_ms() - start);
	ccr_look_free(&look);
	return 0;
}

/* Returns false after a message. */
static bool parse(struct options *o, int argc, char **argv)
{
	static const struct option longs[] = {{"pid", 1, NULL, 'p'},
					      {"images-dir", 1, NULL, 'i'},
					      {"leave-running", 0, NULL, 'l'},
					      {"kinds", 0, NULL, 'k'},
					      {NULL, 0, NULL, 0}};
	char *end;
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (c) {
		case 'p':
			o->pid = strtol(optarg, &end, 10);
			if (o->pid > 0 && !*end)
				break;
			fprintf(stderr, "cuda-look: \"%s\" is not a process ID\n", optarg);
			return false;
		case 'i':
			o->images_dir = optarg;
			break;
		case 'l':
			o->keeps_running = true;
			break;
		case 'k':
			o->wants_kinds = true;
			break;
		default:
			fputs(usage, stderr);
			return false;
		}
	}
	if (optind == argc && (o->pid || o->images_dir || o->wants_kinds))
		return true;
	fputs(usage, stderr);
	return false;
}

int main(int argc, char **argv)
{
	struct ccr_settings settings;
	struct options o = {0};
	char error[512];

	if (!parse(&o, argc, argv))
		return 2;
	if (o.wants_kinds) {
		print_kinds();
		return 0;
	}
	if (ccr_settings_load(&settings, NULL, error, sizeof(error))) {
		fprintf(stderr, "cuda-look: %s\n", error);
		return 2;
	}
	return look_and_print(&o, &settings);
}
