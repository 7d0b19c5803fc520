// SPDX-License-Identifier: MIT
/*
 * Description: the service thread starts in a program with more static TLS than
 * the thread's usual stack. Where that is too much even for a larger stack, stderr
 * says so whatever the log level is, the program runs on, and the mailbox without
 * a thread tells others. TLS_MIB is the size.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "test/intercept/intercept_test.h"
#include "common/protocol/mailbox.h"
#include "common/protocol/protocol.h"

static __thread volatile char large[(size_t)TLS_MIB << 20];

static bool has_service(void)
{
	struct dirent *entry;
	bool found = false;
	DIR *dir = opendir("/proc/self/task");

	CHECK(dir);
	while ((entry = readdir(dir))) {
		char path[300], comm[32] = "";
		FILE *file;

		snprintf(path, sizeof(path), "/proc/self/task/%s/comm", entry->d_name);
		file = fopen(path, "re");
		if (!file)
			continue;
		found |= fgets(comm, sizeof(comm), file) && !strcmp(comm, CCR_SERVICE_COMM "\n");
		fclose(file);
	}
	closedir(dir);
	return found;
}

int main(int argc, char **argv)
{
	char path[] = "/tmp/ccr-tls-XXXXXX", text[1024] = "";
	const int log = mkstemp(path), before = dup(STDERR_FILENO);
	struct ccr_mailbox mailbox;
	int (*init)(unsigned int);
	void *driver;

	CHECK(argc == 2 && log >= 0);
	unlink(path);
	large[sizeof(large) - 1] = 1;
	driver = dlopen(argv[1], RTLD_NOW | RTLD_GLOBAL);
	CHECK(driver);
	*(void **)&init = dlsym(driver, "cuInit");
	CHECK(init);
	CHECK(dup2(log, STDERR_FILENO) == STDERR_FILENO);
	CHECK(!init(0));
	CHECK(dup2(before, STDERR_FILENO) == STDERR_FILENO);
	CHECK(pread(log, text, sizeof(text) - 1, 0) >= 0);
	CHECK(!ccr_mailbox_read(getpid(), &mailbox, NULL));
	if (TLS_MIB < 64) {
		CHECK(!*text);
		/* The thread sets its name after it has begun. */
		while (!has_service())
			sched_yield();
	} else {
		CHECK(strstr(text, "cannot start the service thread: Invalid argument"));
		CHECK(!has_service());
	}
	return 0;
}
