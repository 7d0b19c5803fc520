// SPDX-License-Identifier: MIT
/* Starts the tree, and answers "report" on a Unix socket. */
#include "workloads/state/state.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static struct state_options options;
static struct workload workload;
static bool has_cuda;

void report_add(struct report *r, const char *format, ...)
{
	const size_t room = sizeof(r->text) - r->used;
	va_list args;
	int length;

	va_start(args, format);
	length = vsnprintf(r->text + r->used, room, format, args);
	va_end(args);
	r->used += (size_t)length < room ? (size_t)length : room - 1;
}

uint64_t state_random(uint64_t *seed, uint64_t below)
{
	*seed += CCR_PATTERN_GOLDEN;
	return ccr_mix64(*seed) % below;
}

/* Every byte of device memory, a kernel, copies, and memory that is allocated and freed. */
static void device_report(struct report *r)
{
	static uint64_t host[8192];
	struct failure failure = {.what = ""};
	uint64_t checksum = 0;

	if (workload_verify(&workload, &workload.set, &checksum, &failure) ||
	    workload_churn(&workload, &workload.set, 12345, host, 8192, &failure)) {
		for (char *c = failure.what; *c; c++)
			*c = *c == ' ' ? '_' : *c;
		report_add(r, "device=%s,%s ", failure.what, ccr_cuda_error_name(failure.result));
		return;
	}
	report_add(r, "device=%016llx", (unsigned long long)checksum);
	for (size_t i = 0; i < workload.nr_buffers; i++)
		report_add(r, ",%llx", (unsigned long long)workload.buffers[i].address);
	report_add(r, " ");
}

void state_report(struct report *r)
{
	regions_report(r);
	descriptors_report(r);
	activity_report(r);
	if (has_cuda)
		device_report(r);
}

int state_start(const struct state_options *o, int role)
{
	struct failure failure;
	uint64_t seed = o->seed + 1000 * (uint64_t)role;

	if (regions_start(role) || descriptors_make(seed, o->descriptors, o->dir, role)) {
		perror("workload-state: mappings and files");
		return -1;
	}
	has_cuda = role ? o->child_cuda : o->cuda;
	workload.options = o->device;
	workload.options.seed = seed;
	if (has_cuda && workload_start(&workload, &failure)) {
		fprintf(stderr, "workload-state: %s: %s\n", failure.what,
			ccr_cuda_error_name(failure.result));
		return -1;
	}
	if (activity_start(seed, o->threads)) {
		perror("workload-state: threads");
		return -1;
	}
	return 0;
}

static int become(int uid)
{
	return uid && (setgroups(0, NULL) || setresgid(uid, uid, uid) || setresuid(uid, uid, uid))
		       ? -1
		       : 0;
}

static int limit(int resource, uint64_t value)
{
	const struct rlimit both = {value, value};

	return value ? setrlimit(resource, &both) : 0;
}

/* Bytes of address space in use. */
static uint64_t address_space(void)
{
	unsigned long pages = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	if (!f || fscanf(f, "%lu", &pages) != 1)
		pages = 0;
	if (f)
		fclose(f);
	return pages * STATE_PAGE;
}

static int set_limits(const struct state_options *o)
{
	const uint64_t as = o->as_mib ? address_space() + (o->as_mib << 20) : 0;

	return limit(RLIMIT_STACK, o->stack_kib << 10) || limit(RLIMIT_NOFILE, o->nofile) ||
			       limit(RLIMIT_AS, as)
		       ? -1
		       : 0;
}

/* Bound under its final name, because CRIU binds a restored socket to the same name. */
static int listen_at(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (strlen(path) >= sizeof(address.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	strcpy(address.sun_path, path);
	return fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, 4)
		       ? -1
		       : fd;
}

static void answer(int client)
{
	static struct report report;
	char request[64];
	size_t sent = 0;

	if (read(client, request, sizeof(request)) <= 0)
		return;
	report.used = 0;
	state_report(&report);
	family_report(&report);
	report_add(&report, "\n");
	while (sent < report.used) {
		const ssize_t n =
			send(client, report.text + sent, report.used - sent, MSG_NOSIGNAL);

		if (n <= 0)
			return;
		sent += (size_t)n;
	}
}

int main(int argc, char **argv)
{
	int listener;

	state_options_parse(&options, argc, argv);
	signal(SIGPIPE, SIG_IGN);
	if (become(options.uid) || regions_make(&options) || family_start(&options)) {
		perror("workload-state: start");
		return 1;
	}
	if (state_start(&options, 0))
		return 1;
	if (set_limits(&options)) {
		perror("workload-state: limits");
		return 1;
	}
	listener = listen_at(options.socket_path);
	if (listener < 0) {
		perror("workload-state: socket");
		return 1;
	}
	for (;;) {
		const int client = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (client < 0)
			continue;
		answer(client);
		close(client);
	}
}
