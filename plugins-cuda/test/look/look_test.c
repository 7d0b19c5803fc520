// SPDX-License-Identifier: MIT
#include "test/look/look_test.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "common/protocol/protocol.h"

struct ccr_look_request request;
struct ccr_settings settings;

const struct ccr_mailbox quiet_mailbox = {
	.magic = CCR_MAILBOX_MAGIC,
	.protocol = CCR_PROTOCOL_VERSION,
	.size = sizeof(quiet_mailbox),
};

static char root[] = "/tmp/ccr-look-XXXXXX";
static struct ccr_driver driver;
static struct ccr_look look;
static pid_t with_cuda[8];
static size_t nr_cuda;

static CUresult restore_thread(int pid, int *tid)
{
	for (size_t i = 0; i < nr_cuda; i++) {
		if (with_cuda[i] == pid) {
			*tid = pid;
			return CUDA_SUCCESS;
		}
	}
	return CUDA_ERROR_NOT_INITIALIZED;
}

static void full_path(char *out, size_t size, const char *path)
{
	snprintf(out, size, "%s/%s", root, path);
	for (char *slash = strchr(out + strlen(root) + 1, '/'); slash;
	     slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(out, 0700) && errno != EEXIST)
			CHECK(!"mkdir");
		*slash = '/';
	}
}

static void write_file(const char *path, const char *mode, const char *format, va_list args)
{
	char full[PATH_MAX];
	FILE *file;

	full_path(full, sizeof(full), path);
	file = fopen(full, mode);
	CHECK(file);
	if (!file)
		return;
	vfprintf(file, format, args);
	fclose(file);
}

void fake_file(const char *path, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	write_file(path, "w", format, args);
	va_end(args);
}

void fake_more(const char *path, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	write_file(path, "a", format, args);
	va_end(args);
}

static const char *in_proc(pid_t pid, const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "proc/%d/%s", pid, name);
	return path;
}

void fake_thread(pid_t pid, pid_t tid, const char *name, const char *state, pid_t tracer)
{
	char path[64];

	snprintf(path, sizeof(path), "task/%d/status", tid);
	fake_file(in_proc(pid, path),
		  "Name:\t%s\nUmask:\t0022\nState:\t%s\nTgid:\t%d\nTracerPid:\t%d\n"
		  "VmSize:\t  1048576 kB\nRssAnon:\t    2048 kB\n",
		  name, state, pid, tracer);
	snprintf(path, sizeof(path), "task/%d/children", tid);
	fake_more(in_proc(pid, path), "%s", "");
}

void fake_map(pid_t pid, const char *line)
{
	fake_more(in_proc(pid, "maps"), "%s\n", line);
}

void fake_descriptor(pid_t pid, int number, const char *target)
{
	char path[PATH_MAX], name[16];

	snprintf(name, sizeof(name), "fd/%d", number);
	full_path(path, sizeof(path), in_proc(pid, name));
	CHECK(!symlink(target, path));
}

void fake_process(pid_t pid, pid_t parent)
{
	char path[64];

	fake_thread(pid, pid, "python3", "S (sleeping)", 0);
	fake_map(pid, "00400000-00452000 r-xp 00000000 08:02 173521      /usr/bin/python3");
	fake_map(pid, "35b1800000-35b1820000 rw-p 00000000 00:00 0");
	fake_map(pid, "7ffe00000000-7ffe00021000 rw-p 00000000 00:00 0                  [stack]");
	fake_descriptor(pid, 0, "/dev/null");
	fake_file(
		in_proc(pid, "limits"),
		"Limit                     Soft Limit           Hard Limit           Units     \n"
		"Max open files            1024                 4096                 files     \n"
		"Max address space         unlimited            unlimited            bytes     \n");
	fake_file(in_proc(pid, "cgroup"), "0::/inference/job\n");
	fake_file(in_proc(pid, "environ"), "HOME=/root");
	if (!parent)
		return;
	snprintf(path, sizeof(path), "task/%d/children", parent);
	fake_more(in_proc(parent, path), "%d ", pid);
}

void fake_cuda(pid_t pid, pid_t parent)
{
	fake_process(pid, parent);
	with_cuda[nr_cuda++] = pid;
	fake_map(pid, "7f0000000000-7f0000100000 r-xp 00000000 08:02 99 /usr/lib/libcuda.so.570.1");
	fake_descriptor(pid, 3, "/dev/nvidiactl");
	fake_descriptor(pid, 4, "/dev/nvidia0");
}

void fake_mailbox(pid_t pid)
{
	const int fd = syscall(SYS_memfd_create, "criu-cuda-mailbox", MFD_CLOEXEC);
	struct stat status;
	char line[128];

	CHECK(fd >= 0 && !fstat(fd, &status) && !close(fd));
	snprintf(line, sizeof(line),
		 "00010000-00011000 rw-p 00000000 %02x:%02x 5 /memfd:criu-cuda-mailbox (deleted)",
		 major(status.st_dev), minor(status.st_dev));
	fake_map(pid, line);
}

void fake_interceptor(pid_t pid, const struct ccr_mailbox *mailbox)
{
	const off_t address = 0x10000;
	char path[PATH_MAX];
	FILE *memory;

	fake_map(pid, "7f1000000000-7f1000010000 r-xp 00000000 08:02 7 /opt/libcuda_intercept.so");
	fake_thread(pid, pid + 9, "criu-cuda-svc", "S (sleeping)", 0);
	if (!mailbox)
		return;
	fake_mailbox(pid);
	full_path(path, sizeof(path), in_proc(pid, "mem"));
	memory = fopen(path, "w");
	CHECK(memory && !fseek(memory, address, SEEK_SET));
	CHECK(fwrite(mailbox, sizeof(*mailbox), 1, memory) == 1);
	CHECK(!fclose(memory));
}

void look_begin(const char *libcuda)
{
	char error[256];

	strcpy(root + strlen(root) - 6, "XXXXXX");
	CHECK(mkdtemp(root));
	CHECK(!ccr_settings_load(&settings, "/dev/null", error, sizeof(error)));
	memset(&driver, 0, sizeof(driver));
	snprintf(driver.path, sizeof(driver.path), "%s", libcuda);
	driver.cuCheckpointProcessGetRestoreThreadId = restore_thread;
	nr_cuda = 0;
	unsetenv("LOOK_TEST_NVML");
	request = (struct ccr_look_request){
		.root = root,
		.pid = ROOT_PID,
		.settings = &settings,
		.driver = &driver,
		.images_dir = -1,
	};
	fake_file("proc/meminfo", "MemTotal: 134217728 kB\nMemAvailable:   67108864 kB\n");
	fake_file("proc/sys/vm/max_map_count", "65530\n");
	fake_file("sys/fs/cgroup/cgroup.controllers", "cpu memory\n");
	fake_file("sys/fs/cgroup/inference/job/cgroup.events", "populated 1\nfrozen 0\n");
	fake_file("sys/fs/cgroup/inference/job/memory.max", "max\n");
}

void look_end(void)
{
	char command[64];

	ccr_look_free(&look);
	snprintf(command, sizeof(command), "rm -r %s", root);
	CHECK(!system(command));
}

const struct ccr_look *look_at(void)
{
	ccr_look_free(&look);
	CHECK(!ccr_look_at(&request, &look));
	return &look;
}

bool look_finds(const char *reasons)
{
	char found[1024] = "";
	size_t used = 0;

	look_at();
	for (size_t i = 0; i < look.nr_reasons; i++)
		used += snprintf(found + used, sizeof(found) - used, "%s%s %d", i ? ", " : "",
				 ccr_look_rows[look.reasons[i].kind].name, look.reasons[i].pid);
	if (strcmp(found, reasons) != 0)
		printf("found: %s\n", found);
	return !strcmp(found, reasons);
}

const char *detail_of(enum ccr_look_kind kind)
{
	for (size_t i = 0; i < look.nr_reasons; i++)
		if (look.reasons[i].kind == kind)
			return look.reasons[i].detail;
	return "";
}
