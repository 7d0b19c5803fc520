// SPDX-License-Identifier: MIT
// --socket: clients come and go, and between them nothing is open that CRIU could not dump.
#include "test/workload/workload_test.h"

#include <limits.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>

#define PATIENCE_SECONDS 60

static struct sockaddr_un address = {.sun_family = AF_UNIX};

// Connects like any client. Until the program listens, there is no socket or it refuses.
static FILE *connect_client(void)
{
	const time_t end = time(NULL) + PATIENCE_SECONDS;

	for (;;) {
		const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

		CHECK(fd >= 0);
		if (!connect(fd, (struct sockaddr *)&address, sizeof(address)))
			return fdopen(fd, "r+");
		CHECK(errno == ENOENT || errno == ECONNREFUSED);
		CHECK(time(NULL) < end);
		close(fd);
	}
}

static void ask_client(FILE *client, const char *request, char *line, size_t size)
{
	fseek(client, 0, SEEK_CUR);
	fprintf(client, "%s\n", request);
	fflush(client);
	CHECK(fgets(line, size, client));
}

// Number of open sockets of the process.
static int open_sockets(pid_t pid)
{
	char path[64], target[PATH_MAX];
	struct dirent *entry;
	int nr = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	dir = opendir(path);
	CHECK(dir);
	while ((entry = readdir(dir))) {
		const ssize_t n = readlinkat(dirfd(dir), entry->d_name, target, sizeof(target) - 1);

		target[n < 0 ? 0 : n] = '\0';
		nr += !strncmp(target, "socket:", 7);
	}
	closedir(dir);
	return nr;
}

static void await_only_the_listener(pid_t pid)
{
	const time_t end = time(NULL) + PATIENCE_SECONDS;

	while (open_sockets(pid) > 1)
		CHECK(time(NULL) < end);
}

static void serves_clients_in_turn(struct program *p)
{
	char line[256];
	FILE *client;

	for (int round = 0; round < 3; round++) {
		client = connect_client();
		ask_client(client, "status", line, sizeof(line));
		CHECK(!strncmp(line, "ok pid=", 7));
		CHECK(strtol(line + 7, NULL, 10) == p->pid);
		ask_client(client, "verify", line, sizeof(line));
		CHECK(!strncmp(line, "ok checksum=", 12));
		fclose(client);
		await_only_the_listener(p->pid);
	}
	// A client that sends nothing, and one that disconnects in the middle of a line.
	fclose(connect_client());
	client = connect_client();
	fprintf(client, "veri");
	fclose(client);
	client = connect_client();
	ask_client(client, "verify", line, sizeof(line));
	CHECK(!strncmp(line, "ok checksum=", 12));
	fclose(client);
}

int main(int argc, char **argv)
{
	char *options[] = {"--alloc", "64K", "--socket", address.sun_path, NULL};
	struct stat st;
	struct program p;
	FILE *client;

	CHECK(argc == 2);
	workload_path = argv[1];
	own_devices(1, 64);
	snprintf(address.sun_path, sizeof(address.sun_path), "/tmp/workload-test-%d.sock",
		 getpid());
	for (int round = 0; round < 2; round++) {
		program_start(&p, options);
		serves_clients_in_turn(&p);
		if (round == 0) {
			// A killed process leaves its socket file, which the next one replaces.
			CHECK(!kill(p.pid, SIGKILL) && waitpid(p.pid, NULL, 0) == p.pid);
			fclose(p.to);
			fclose(p.from);
			CHECK(!stat(address.sun_path, &st) && S_ISSOCK(st.st_mode));
		}
	}
	client = connect_client();
	fprintf(client, "quit\n");
	fflush(client);
	CHECK(fgetc(client) == EOF);
	fclose(client);
	CHECK(!program_end(&p));
	CHECK(stat(address.sun_path, &st) && errno == ENOENT);
	return 0;
}
