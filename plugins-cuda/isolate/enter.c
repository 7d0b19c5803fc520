// SPDX-License-Identifier: MIT
/*
 * The namespaces of an isolated tree, for a dump of it: its private directories, such as /tmp, do
 * not have what was created in the machine's own later, so the directory of the images is bound
 * there.
 */
#include "isolate/isolate.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/mount.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct {
	const char *name;
	int kind;
} namespaces[] = {
	{"ipc", CLONE_NEWIPC}, {"net", CLONE_NEWNET}, {"pid", CLONE_NEWPID}, {"mnt", CLONE_NEWNS}};
#define NR_NAMESPACES (sizeof(namespaces) / sizeof(namespaces[0]))

static int open_all(const struct isolate *isolate, int *fds)
{
	char path[64];

	for (size_t i = 0; i < NR_NAMESPACES; i++) {
		snprintf(path, sizeof(path), "/proc/%d/ns/%s", isolate->enter, namespaces[i].name);
		fds[i] = open(path, O_RDONLY | O_CLOEXEC);
		if (fds[i] < 0)
			return isolate_fail(isolate, "cannot open %s", path);
	}
	return 0;
}

static int enter_all(const struct isolate *isolate, const int *fds)
{
	for (size_t i = 0; i < NR_NAMESPACES; i++) {
		if (setns(fds[i], namespaces[i].kind))
			return isolate_fail(isolate, "cannot enter namespace %s of %d",
					    namespaces[i].name, isolate->enter);
		close(fds[i]);
	}
	return 0;
}

static int make_dirs(const char *path)
{
	char above[PATH_MAX];

	snprintf(above, sizeof(above), "%s", path);
	for (char *end = above + 1; (end = strchr(end, '/')); *end++ = '/') {
		*end = '\0';
		if (mkdir(above, 0755) && errno != EEXIST)
			return -1;
	}
	return mkdir(path, 0700) && errno != EEXIST ? -1 : 0;
}

/* Returns a descriptor of the directory as a mount that is in no namespace yet. */
static int pick_up(const struct isolate *isolate)
{
	const int tree = syscall(SYS_open_tree, AT_FDCWD, isolate->carry,
				 OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);

	return tree < 0 ? isolate_fail(isolate, "cannot carry %s", isolate->carry) : tree;
}

static int put_down(const struct isolate *isolate, int tree)
{
	struct stat outside, inside;

	if (fstat(tree, &outside))
		return isolate_fail(isolate, "cannot carry %s", isolate->carry);
	if (!stat(isolate->carry, &inside) && outside.st_dev == inside.st_dev &&
	    outside.st_ino == inside.st_ino)
		return 0;
	if (make_dirs(isolate->carry) ||
	    syscall(SYS_move_mount, tree, "", AT_FDCWD, isolate->carry, MOVE_MOUNT_F_EMPTY_PATH))
		return isolate_fail(isolate, "cannot bind %s", isolate->carry);
	return 0;
}

static int enter(const struct isolate *isolate)
{
	const int tree = isolate->carry ? pick_up(isolate) : -1;
	int fds[NR_NAMESPACES];

	if ((isolate->carry && tree < 0) || open_all(isolate, fds) || enter_all(isolate, fds))
		return -1;
	if (chdir("/"))
		return isolate_fail(isolate, "cannot enter /");
	return isolate->carry ? put_down(isolate, tree) : 0;
}

/*
 * As a child of the first process there, which otherwise ends, and everything with it, as soon as a
 * dump has ended the tree.
 */
static void execute_as_orphan(const struct isolate *isolate)
{
	const pid_t pid = fork();

	if (pid < 0)
		isolate_fail(isolate, "cannot fork");
	if (pid)
		_exit(pid < 0 ? ISOLATE_USAGE : 0);
	signal(SIGPIPE, SIG_DFL);
	isolate_execute(isolate);
	_exit(ISOLATE_USAGE);
}

int isolate_enter(const struct isolate *isolate)
{
	int status;
	pid_t pid;

	if (enter(isolate))
		return ISOLATE_USAGE;
	pid = fork(); /* into the pid namespace */
	if (pid < 0) {
		isolate_fail(isolate, "cannot fork");
		return ISOLATE_USAGE;
	}
	if (!pid)
		execute_as_orphan(isolate);
	while (waitpid(pid, &status, 0) != pid) {
		if (errno != EINTR)
			return ISOLATE_USAGE;
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : ISOLATE_USAGE;
}
