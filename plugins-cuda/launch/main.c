// SPDX-License-Identifier: MIT
#include "launch/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/status.h"

static const char usage[] =
	"usage: criu-cuda-run [OPTION]... [--] PROGRAM [ARGUMENT]...\n"
	"Runs a program so that it can be dumped: it leads its own session and gets no io_uring.\n"
	"  --allow-io-uring  leave io_uring to it; CRIU cannot dump a program that uses it\n"
	"  --log FILE        append its output to FILE, which may grow between dump and restore\n"
	"  --detach          print its pid and return; its output goes to --log, or to /dev/null\n"
	"  --env KEY=VALUE   set a variable for it\n"
	"  --reset PID       undo what Node has changed: signals, limits, descriptors; PID is\n"
	"                    Node's parent\n"
	"  --report FD       write there why the program cannot be started; it is closed on exec\n"
	"  --quiet           say nothing\n"
	"  --json            print the pid as JSON\n"
	"  --help            print this\n";

void launch_say(const struct launch *launch, const struct launch_origin *origin, const char *format,
		...)
{
	char text[4096];
	va_list args;

	if (launch->is_quiet)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	dprintf(origin->messages, "criu-cuda: %s\n", text);
}

void launch_fail(const struct launch *launch, const struct launch_origin *origin,
		 const char *format, ...)
{
	char text[4096], quoted[8192];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (launch->report >= 0)
		dprintf(launch->report, "%s", text);
	else if (launch->prints_json)
		dprintf(origin->answers,
			"{\n  \"error\": {\n    \"code\": \"ERR_USAGE\",\n    \"message\": "
			"\"%s\"\n  }\n}\n",
			ccr_status_quoted(quoted, sizeof(quoted), text));
	else
		dprintf(origin->messages, "criu-cuda: %s\n", text);
}

void launch_say_pid(const struct launch *launch, const struct launch_origin *origin, int pid)
{
	if (launch->prints_json)
		dprintf(origin->answers, "{\n  \"pid\": %d\n}\n", pid);
	else if (launch->detaches)
		dprintf(origin->answers, "%d\n", pid);
	else
		launch_say(launch, origin, "the process to checkpoint is %d (%s)", pid,
			   launch->argv[0]);
}

/* Returns false after a message. */
static bool parse(struct launch *launch, int argc, char **argv)
{
	static const struct option longs[] = {
		{"allow-io-uring", 0, NULL, 'u'}, {"log", 1, NULL, 'l'},
		{"detach", 0, NULL, 'd'},	  {"env", 1, NULL, 'e'},
		{"reset", 1, NULL, 'r'},	  {"quiet", 0, NULL, 'q'},
		{"report", 1, NULL, 'f'},	  {"json", 0, NULL, 'j'},
		{"help", 0, NULL, 'h'},		  {NULL, 0, NULL, 0}};
	int c, nr_env = 0;

	launch->env = calloc(argc, sizeof(*launch->env));
	if (!launch->env) {
		perror("criu-cuda-run");
		return false;
	}
	while ((c = getopt_long(argc, argv, "+", longs, NULL)) != -1) {
		switch (c) {
		case 'u':
			launch->allows_io_uring = true;
			break;
		case 'l':
			launch->log = optarg;
			break;
		case 'd':
			launch->detaches = true;
			break;
		case 'e':
			launch->env[nr_env++] = optarg;
			break;
		case 'r':
			launch->parent_of_node = atoi(optarg);
			break;
		case 'f':
			launch->report = atoi(optarg);
			fcntl(launch->report, F_SETFD, FD_CLOEXEC);
			break;
		case 'q':
			launch->is_quiet = true;
			break;
		case 'j':
			launch->prints_json = true;
			break;
		case 'h':
			fputs(usage, stdout);
			exit(0);
		default:
			fputs(usage, stderr);
			return false;
		}
	}
	launch->argv = argv + optind;
	if (optind < argc)
		return true;
	fputs(usage, stderr);
	return false;
}

/* Whether this process can become the program and be dumped without further flags. */
static bool leads_a_session(void)
{
	int terminal;

	if (getsid(0) != getpid())
		return false;
	terminal = open("/dev/tty", O_RDONLY | O_NOCTTY | O_CLOEXEC);
	if (terminal >= 0)
		close(terminal);
	return terminal < 0;
}

int main(int argc, char **argv)
{
	static struct launch launch = {.report = -1};
	struct launch_origin origin;
	sigset_t all;

	if (!parse(&launch, argc, argv))
		return LAUNCH_USAGE;
	if (launch.parent_of_node > 0)
		launch_reset(launch.parent_of_node, launch.report);
	origin.messages = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	origin.answers = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	origin.on_child = signal(SIGCHLD, SIG_DFL);
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &origin.mask);
	if (launch.detaches || !leads_a_session())
		return launch_supervise(&launch, &origin);
	launch_say_pid(&launch, &origin, getpid());
	launch_become(&launch, &origin);
	return LAUNCH_USAGE;
}
