// SPDX-License-Identifier: MIT
/*
 * LD_PRELOAD library for test/campaign, in criu and in the processes that the
 * plugin starts. It counts calls in each of them, and at one of these calls
 * either fails the call or reports to the campaign and waits for its answer, so
 * that a fault happens at that call and not a moment later.
 *
 * CCR_FAULT_DIR: a directory with the file "counts", a page of counters, and
 * "socket", where the campaign listens.
 * CCR_FAULT: ROLE:CALL:NTH:ACTION:TEXT. ACTION is "ask" or a number of errno,
 * with which this call and all later ones fail. TEXT, if any, must be in what is
 * written, or in the path of the file.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define EXPORTED  __attribute__((visibility("default")))
#define TEXT_MAX  128
#define NR_ROLES  5
#define CALLS_MAX 16

enum role { CRIU, TASK, WATCHER, POOL, OTHER };
enum call { LOG, STATUS, IMAGE, CLOSE, PTRACE, MEMORY, MESSAGE, WAIT, NR_CALLS };

static const char *const role_names[NR_ROLES] = {"criu", "task", "watcher", "pool", "other"};
static const char *const call_names[NR_CALLS] = {"log",	   "status", "image",	"close",
						 "ptrace", "memory", "message", "wait"};

struct counts {
	atomic_uint calls[NR_ROLES][CALLS_MAX];
	atomic_uint matches; /* of the rule, in all processes */
	atomic_uint hits;
};

static struct {
	struct counts *counts;
	char dir[80];
	enum role role;
	enum call call;
	unsigned long nth;
	int error; /* 0: ask */
	char text[TEXT_MAX];
	bool has_rule;
	pid_t pid, criu; /* of the process whose role is known; of criu */
	enum role own;
} shim;

static int find(const char *name, size_t length, const char *const *names, int nr)
{
	for (int i = 0; i < nr; i++)
		if (strlen(names[i]) == length && !strncmp(names[i], name, length))
			return i;
	return -1;
}

/* Parses one field up to a colon. Returns what follows, or NULL. */
static const char *field(const char *text, size_t *length)
{
	const char *colon = text ? strchr(text, ':') : NULL;

	*length = colon ? (size_t)(colon - text) : 0;
	return colon ? colon + 1 : NULL;
}

static void parse_rule(const char *text)
{
	size_t role_length, call_length, length;
	const char *call = field(text, &role_length);
	const char *nth = field(call, &call_length);
	const char *action = field(nth, &length);
	const char *found = field(action, &length);
	const int role = find(text, role_length, role_names, NR_ROLES);
	const int which = call ? find(call, call_length, call_names, NR_CALLS) : -1;

	if (!found || role < 0 || which < 0) {
		fprintf(stderr, "fault-points: CCR_FAULT: \"%s\" is not a rule\n", text);
		abort();
	}
	shim.role = (enum role)role;
	shim.call = (enum call)which;
	shim.nth = strtoul(nth, NULL, 10);
	shim.error = (int)strtoul(action, NULL, 10); /* "ask" is 0 */
	snprintf(shim.text, sizeof(shim.text), "%s", found);
	shim.has_rule = true;
}

/* The name of the process, not of the thread. */
static enum role role_of_name(void)
{
	char name[32] = "";
	const int fd = (int)syscall(SYS_openat, AT_FDCWD, "/proc/self/comm", O_RDONLY | O_CLOEXEC);

	if (fd >= 0) {
		if (syscall(SYS_read, fd, name, sizeof(name) - 1) < 0)
			name[0] = '\0';
		syscall(SYS_close, fd);
	}
	name[strcspn(name, "\n")] = '\0';
	if (!strncmp(name, "cuda-watcher", 12)) /* the second one, too */
		return WATCHER;
	if (!strncmp(name, "cuda-pool", 9)) /* the daemon, or a helper */
		return POOL;
	if (shim.criu)
		return shim.criu == getpid() ? CRIU : TASK;
	return OTHER;
}

/* A fork of criu may take its name later. */
static enum role own_role(void)
{
	const pid_t pid = getpid();

	if (pid != shim.pid || shim.own == TASK) {
		shim.own = role_of_name();
		shim.pid = pid;
	}
	return shim.own;
}

__attribute__((constructor)) static void start(void)
{
	const char *dir = getenv("CCR_FAULT_DIR"), *rule = getenv("CCR_FAULT");
	char path[128], name[64] = "";
	ssize_t length;
	int fd;

	if (!dir || strlen(dir) >= sizeof(shim.dir))
		return;
	length = readlink("/proc/self/exe", name, sizeof(name) - 1);
	if (length > 5 && !strcmp(name + length - 5, "/criu"))
		shim.criu = getpid();
	strcpy(shim.dir, dir);
	snprintf(path, sizeof(path), "%s/counts", dir);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return;
	shim.counts = mmap(NULL, sizeof(*shim.counts), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	syscall(SYS_close, fd);
	if (shim.counts == MAP_FAILED)
		shim.counts = NULL;
	if (rule && *rule)
		parse_rule(rule);
}

/* Tells the campaign, and returns when it has injected its fault. */
static void ask(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char line[64];
	const int length =
		snprintf(line, sizeof(line), "%s %d\n", role_names[own_role()], (int)getpid());
	const int fd = (int)syscall(SYS_socket, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s/socket", shim.dir);
	if (fd < 0)
		return;
	if (!syscall(SYS_connect, fd, &address, sizeof(address)) &&
	    syscall(SYS_write, fd, line, length) == length)
		while (syscall(SYS_read, fd, line, 1) < 0 && errno == EINTR)
			;
	syscall(SYS_close, fd);
}

/* Counts a call. Returns an errno with which it is to fail, or 0. */
static int count(enum call call, const void *text, size_t length)
{
	const int saved = errno;
	enum role role;
	unsigned int nth;

	if (!shim.counts)
		return 0;
	role = own_role();
	atomic_fetch_add(&shim.counts->calls[role][call], 1);
	errno = saved;
	if (!shim.has_rule || role != shim.role || call != shim.call)
		return 0;
	if (shim.text[0] && !memmem(text, length, shim.text, strlen(shim.text)))
		return 0;
	nth = atomic_fetch_add(&shim.counts->matches, 1) + 1;
	if (shim.error ? nth < shim.nth : nth != shim.nth)
		return 0;
	atomic_fetch_add(&shim.counts->hits, 1);
	if (!shim.error)
		ask();
	errno = saved;
	return shim.error;
}

static int count_path(enum call call, int fd)
{
	char link[32], path[PATH_MAX];
	ssize_t length;

	if (!shim.counts)
		return 0;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	length = readlink(link, path, sizeof(path) - 1);
	path[length < 0 ? 0 : length] = '\0';
	/* an image may have a temporary name */
	return strstr(path, ".img") ? count(call, path, strlen(path)) : 0;
}

/* Only what this process may have written matters at a close. */
static int count_close(int fd)
{
	int flags;

	if (!shim.counts || own_role() == OTHER)
		return 0;
	flags = fcntl(fd, F_GETFL);
	return flags < 0 || (flags & O_ACCMODE) == O_RDONLY ? 0 : count_path(CLOSE, fd);
}

static int count_write(int fd, const void *buffer, size_t length)
{
	const char *text = buffer;

	if (length && text[0] == '(')
		return count(LOG, buffer, length);
	if (length > 8 && !strncmp(text, "{\"event\"", 8))
		return count(STATUS, buffer, length);
	return count_path(IMAGE, fd);
}

/* Defines a function that counts, and then calls the real one. */
#define COUNTED(type, name, parameters, arguments, counting)                \
	EXPORTED type name parameters;                                      \
	EXPORTED type name parameters                                       \
	{                                                                   \
		static type(*real) parameters;                              \
		const int error = counting;                                 \
                                                                            \
		if (error) {                                                \
			errno = error;                                      \
			return -1;                                          \
		}                                                           \
		if (!real)                                                  \
			real = (type(*) parameters)dlsym(RTLD_NEXT, #name); \
		return real arguments;                                      \
	}

COUNTED(ssize_t, write, (int fd, const void *b, size_t n), (fd, b, n), count_write(fd, b, n))
COUNTED(ssize_t, pwrite, (int fd, const void *b, size_t n, off_t o), (fd, b, n, o),
	count_path(IMAGE, fd))
COUNTED(ssize_t, pwrite64, (int fd, const void *b, size_t n, off64_t o), (fd, b, n, o),
	count_path(IMAGE, fd))
COUNTED(ssize_t, writev, (int fd, const struct iovec *v, int n), (fd, v, n), count_path(IMAGE, fd))
COUNTED(ssize_t, splice, (int a, off64_t *ao, int b, off64_t *bo, size_t n, unsigned int f),
	(a, ao, b, bo, n, f), count_path(IMAGE, b))
COUNTED(ssize_t, process_vm_readv,
	(pid_t p, const struct iovec *l, unsigned long ln, const struct iovec *r, unsigned long rn,
	 unsigned long f),
	(p, l, ln, r, rn, f), count(MEMORY, "", 0))
COUNTED(ssize_t, process_vm_writev,
	(pid_t p, const struct iovec *l, unsigned long ln, const struct iovec *r, unsigned long rn,
	 unsigned long f),
	(p, l, ln, r, rn, f), count(MEMORY, "", 0))
COUNTED(ssize_t, send, (int fd, const void *b, size_t n, int f), (fd, b, n, f),
	count(MESSAGE, "", 0))
COUNTED(ssize_t, sendmsg, (int fd, const struct msghdr *m, int f), (fd, m, f),
	count(MESSAGE, "", 0))
COUNTED(ssize_t, recv, (int fd, void *b, size_t n, int f), (fd, b, n, f), count(MESSAGE, "", 0))
COUNTED(ssize_t, recvmsg, (int fd, struct msghdr *m, int f), (fd, m, f), count(MESSAGE, "", 0))
COUNTED(int, connect, (int fd, const struct sockaddr *a, socklen_t n), (fd, a, n),
	count(MESSAGE, "", 0))
COUNTED(pid_t, waitpid, (pid_t p, int *s, int o), (p, s, o), count(WAIT, "", 0))
COUNTED(pid_t, wait4, (pid_t p, int *s, int o, struct rusage *u), (p, s, o, u), count(WAIT, "", 0))

/* The file is closed before the error is reported, as on a network file system. */
EXPORTED int close(int fd)
{
	const int error = count_close(fd);
	const int result = (int)syscall(SYS_close, fd);

	if (!error)
		return result;
	errno = error;
	return -1;
}

/* Reads a limit of a process from /proc. Returns 0 or -1. */
static int read_limit(pid_t pid, int resource, struct rlimit64 *limit)
{
	static const char *const names[RLIM_NLIMITS] = {
		[RLIMIT_CPU] = "Max cpu time",
		[RLIMIT_FSIZE] = "Max file size",
		[RLIMIT_DATA] = "Max data size",
		[RLIMIT_STACK] = "Max stack size",
		[RLIMIT_CORE] = "Max core file size",
		[RLIMIT_RSS] = "Max resident set",
		[RLIMIT_NPROC] = "Max processes",
		[RLIMIT_NOFILE] = "Max open files",
		[RLIMIT_MEMLOCK] = "Max locked memory",
		[RLIMIT_AS] = "Max address space",
		[RLIMIT_LOCKS] = "Max file locks",
		[RLIMIT_SIGPENDING] = "Max pending signals",
		[RLIMIT_MSGQUEUE] = "Max msgqueue size",
		[RLIMIT_NICE] = "Max nice priority",
		[RLIMIT_RTPRIO] = "Max realtime priority",
		[RLIMIT_RTTIME] = "Max realtime timeout",
	};
	char path[32], line[128], soft[32], hard[32];
	int ret = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/limits", (int)pid);
	f = fopen(path, "re");
	while (f && ret && fgets(line, sizeof(line), f)) {
		const size_t length = strlen(names[resource]);

		if (strncmp(line, names[resource], length) ||
		    sscanf(line + length, "%31s %31s", soft, hard) != 2)
			continue;
		limit->rlim_cur =
			*soft == 'u' ? RLIM64_INFINITY : (rlim64_t)strtoull(soft, NULL, 10);
		limit->rlim_max =
			*hard == 'u' ? RLIM64_INFINITY : (rlim64_t)strtoull(hard, NULL, 10);
		ret = 0;
	}
	if (f)
		fclose(f);
	return ret;
}

/*
 * On a machine that does not give root CAP_SYS_RESOURCE, criu cannot read the
 * limits of a process of a different user. It calls the kernel directly.
 */
EXPORTED long syscall(long number, ...)
{
	static long (*real)(long, ...);
	long arguments[6], result;
	va_list args;

	va_start(args, number);
	for (int i = 0; i < 6; i++)
		arguments[i] = va_arg(args, long);
	va_end(args);
	if (!real)
		real = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
	result = real(number, arguments[0], arguments[1], arguments[2], arguments[3], arguments[4],
		      arguments[5]);
	if (number != SYS_prlimit64 || !result || errno != EPERM || !shim.counts || arguments[2] ||
	    (unsigned long)arguments[1] >= RLIM_NLIMITS)
		return result;
	return read_limit((pid_t)arguments[0], (int)arguments[1], (struct rlimit64 *)arguments[3]);
}

EXPORTED long ptrace(enum __ptrace_request request, ...)
{
	static long (*real)(enum __ptrace_request, ...);
	va_list args;
	pid_t pid;
	void *address, *data;

	va_start(args, request);
	pid = va_arg(args, pid_t);
	address = va_arg(args, void *);
	data = va_arg(args, void *);
	va_end(args);
	count(PTRACE, "", 0);
	if (!real)
		real = (long (*)(enum __ptrace_request, ...))dlsym(RTLD_NEXT, "ptrace");
	return real(request, pid, address, data);
}
