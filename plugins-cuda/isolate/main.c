// SPDX-License-Identifier: MIT
#include "isolate/isolate.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
	"usage: criu-cuda-isolate [OPTION]... [--] PROGRAM [ARGUMENT]...\n"
	"Runs a program in namespaces of its own, for criu-cuda restore --isolated.\n"
	"  --enter PID       in the namespaces of this process, which were made so, instead\n"
	"  --carry DIR       let DIR be seen there\n"
	"  --network         a network namespace, too\n"
	"  --private-dir DIR  give it a directory of its own, with all that is in DIR\n"
	"  --private FILE    except this one\n"
	"  --last-pid PID    number its processes from here on\n"
	"  --report FD       write there what happens\n"
	"  --help            print this\n";

static void write_line(int fd, const char *line)
{
	/* who reads it may be gone */
	(void)!write(fd, line, strlen(line));
}

int isolate_fail(const struct isolate *isolate, const char *format, ...)
{
	char text[2048], line[4096];
	const int error = errno;
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	snprintf(line, sizeof(line), "%s%s: %s\n",
		 isolate->report < 0 ? "criu-cuda-isolate: " : "failed ", text, strerror(error));
	write_line(isolate->report < 0 ? STDERR_FILENO : isolate->report, line);
	return -1;
}

void isolate_say_ended(const struct isolate *isolate, pid_t pid, int status)
{
	char line[64];

	if (isolate->report < 0)
		return;
	snprintf(line, sizeof(line), "ended %d %d\n", pid, status);
	write_line(isolate->report, line);
}

void isolate_execute(const struct isolate *isolate)
{
	execvp(isolate->argv[0], isolate->argv);
	isolate_fail(isolate, "cannot run %s", isolate->argv[0]);
}

/* Returns -1 unless the text is a number from 1. */
static int number_of(const char *text)
{
	char *end;
	const long value = strtol(text, &end, 10);

	return *text && !*end && value >= 1 && value <= INT_MAX ? (int)value : -1;
}

/* Returns false after a message. */
static bool parse(struct isolate *isolate, int argc, char **argv)
{
	static const struct option longs[] = {
		{"enter", 1, NULL, 'e'},   {"carry", 1, NULL, 'c'},	  {"network", 0, NULL, 'n'},
		{"private", 1, NULL, 'p'}, {"last-pid", 1, NULL, 'l'},	  {"report", 1, NULL, 'f'},
		{"help", 0, NULL, 'h'},	   {"private-dir", 1, NULL, 'd'}, {NULL, 0, NULL, 0}};
	int c, nr_dirs = 0, nr_files = 0;
	bool is_valid = true;

	isolate->dirs = calloc(argc, sizeof(*isolate->dirs));
	isolate->files = calloc(argc, sizeof(*isolate->files));
	if (!isolate->dirs || !isolate->files)
		return false;
	while (is_valid && (c = getopt_long(argc, argv, "+", longs, NULL)) != -1) {
		switch (c) {
		case 'e':
			isolate->enter = number_of(optarg);
			is_valid = isolate->enter > 0;
			break;
		case 'c':
			isolate->carry = optarg;
			break;
		case 'n':
			isolate->network = true;
			break;
		case 'd':
			isolate->dirs[nr_dirs++] = optarg;
			break;
		case 'p':
			isolate->files[nr_files++] = optarg;
			break;
		case 'l':
			isolate->last_pid = number_of(optarg);
			is_valid = isolate->last_pid > 0;
			break;
		case 'f':
			isolate->report = number_of(optarg);
			is_valid = !fcntl(isolate->report, F_SETFD, FD_CLOEXEC);
			break;
		case 'h':
			fputs(usage, stdout);
			exit(0);
		default:
			is_valid = false;
		}
	}
	isolate->argv = argv + optind;
	if (is_valid && optind < argc)
		return true;
	fputs(usage, stderr);
	return false;
}

int main(int argc, char **argv)
{
	static struct isolate isolate = {.report = -1};

	if (!parse(&isolate, argc, argv))
		return ISOLATE_USAGE;
	signal(SIGPIPE, SIG_IGN);
	return isolate.enter ? isolate_enter(&isolate) : isolate_new(&isolate);
}
