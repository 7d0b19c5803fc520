// SPDX-License-Identifier: MIT
/*
 * Images that another process brings: when it ends before all have arrived, what was loaded of them
 * is dropped, and nothing else. Meanwhile another command may have loaded a new version of them.
 */
#include "pool/receive.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pool/images/prefetch.h"
#include "pool/images/residents.h"
#include "pool/images/save.h"
#include "test/check.h"

#define MIB	   (1ull << 20)
#define PID	   4711
#define OTHER	   4712
#define TIMEOUT_MS 60000

static char path[] = "/tmp/ccr-receive-XXXXXX";
static int dir;
static bool is_complete; /* all images arrive */

static void make_image(pid_t pid)
{
	struct held held = {.id = 1,
			    .size = 2 * MIB,
			    .requested = 2 * MIB,
			    .fd = -1,
			    .address = 0x7e8040000000ull};
	const struct copy_options options = engine_own_options();
	struct copy_progress copied = {0};
	struct held_list list = {0};
	char error[256] = "";

	CHECK(!held_create(&held) && !held_add(&list, &held) && !held_map_all(&list));
	memset((void *)(uintptr_t)list.entries[0].mapped, 7, 2 * MIB);
	CHECK(!save_write(dir, pid, &list, &options, &copied, error, sizeof(error)));
	held_free_all(&list);
}

/* As after a dump to the same directory. */
static void renew(pid_t pid)
{
	char name[32];

	snprintf(name, sizeof(name), "cuda-%d.img", pid);
	CHECK(!utimensat(dir, name, (struct timespec[2]){{.tv_sec = 1000}, {.tv_sec = 1000}}, 0));
}

static void say_arrived(int socket, pid_t pid)
{
	char prefix[32];
	DIR *stream = opendir(path);
	const struct dirent *entry;

	snprintf(prefix, sizeof(prefix), "cuda-%d-", pid);
	while (stream && (entry = readdir(stream)))
		if (!strncmp(entry->d_name, prefix, strlen(prefix)))
			dprintf(socket, "%s\n", entry->d_name);
	CHECK(stream && !closedir(stream));
}

/* Until the load has ended, and only the list has a reference to it. */
static void wait_until_loaded(pid_t pid)
{
	const double end = now_ms() + TIMEOUT_MS;
	struct image_identity identity;
	unsigned int references = 0;
	struct load *load;
	uint64_t number;

	CHECK(!image_identify(dir, pid, &identity));
	while (references != 2 && now_ms() < end) {
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
		load = resident_use(&identity, false, &number);
		if (!load)
			continue;
		pthread_mutex_lock(&load->lock);
		references = load->references;
		pthread_mutex_unlock(&load->lock);
		load_put(load);
	}
	CHECK(references == 2);
}

/* Two commands that load the same image: one cannot begin, and the entry of the other stays. */
static void test_reservations(void)
{
	struct image_identity identity;
	struct resident *first, *second;
	struct held_list none = {0};
	uint64_t numbers[2];
	struct load *load;

	CHECK(!image_identify(dir, PID, &identity));
	first = resident_new(dir, &identity, "first", false);
	second = resident_new(dir, &identity, "second", false);
	load = load_of_held(dir, PID, &none);
	CHECK(first && second && load);
	if (failures)
		return;
	numbers[0] = first->number;
	numbers[1] = second->number;
	CHECK(!resident_reserve(first) && !resident_reserve(second));
	resident_finish(numbers[0], NULL);
	CHECK(resident_count(path) == 1);
	resident_finish(numbers[1], load);
	resident_give_up(numbers[0]);
	CHECK(resident_count(path) == 1);
	resident_give_up(numbers[1]);
	CHECK(!resident_count(path));
	load_put(load);
}

static void *receive_thread(void *socket)
{
	char error[256] = "";
	size_t nr = 0;

	CHECK(!receive_images(*(int *)socket, path, false, &nr, error, sizeof(error)) ==
	      is_complete);
	return NULL;
}

static int sockets[2];
static pthread_t receiver;

static void begin_to_receive(void)
{
	char begun[64];

	CHECK(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets));
	CHECK(!pthread_create(&receiver, NULL, receive_thread, &sockets[0]));
	CHECK(recv(sockets[1], begun, sizeof(begun), 0) > 0);
}

static void end_of_receiving(void)
{
	pthread_join(receiver, NULL);
	close(sockets[0]);
}

/* The one that fails leaves what another command has loaded meanwhile. */
static void test_newer_version(void)
{
	char error[384] = "";

	is_complete = false;
	begin_to_receive();
	say_arrived(sockets[1], PID);
	wait_until_loaded(PID);
	renew(PID);
	renew(OTHER);
	CHECK(!prefetch_images(path, false, error, sizeof(error)));
	CHECK(resident_count(path) == 2);
	close(sockets[1]);
	end_of_receiving();
	CHECK(resident_count(path) == 2);
	CHECK(resident_bytes_on(0) == 4 * MIB);
	CHECK(resident_drop(path, true) == 2);
}

/* Before the one that brings them has said that all is there, another command may know the
 * directory by its new name. */
static void test_new_name(void)
{
	char error[384] = "", before[sizeof(path)];

	is_complete = true;
	begin_to_receive();
	say_arrived(sockets[1], PID);
	say_arrived(sockets[1], OTHER);
	wait_until_loaded(PID);
	wait_until_loaded(OTHER);
	memcpy(before, path, sizeof(path));
	path[sizeof(path) - 2]++;
	CHECK(!rename(before, path));
	CHECK(!prefetch_images(path, false, error, sizeof(error)));
	CHECK(resident_count(path) == 2);
	dprintf(sockets[1], "\n");
	end_of_receiving();
	close(sockets[1]);
	CHECK(resident_drop(path, true) == 2);
}

int main(void)
{
	char error[384] = "", command[64];

	CHECK(!ccr_settings_load(&pool.settings, NULL, error, sizeof(error)) && mkdtemp(path));
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	pool_device_begin();
	CHECK(!pool_device_wait(error, sizeof(error)) && !pool_device_use(0));
	if (failures)
		return 1;
	make_image(PID);
	make_image(OTHER);
	test_reservations();
	test_newer_version();
	test_new_name();
	close(dir);
	snprintf(command, sizeof(command), "rm -r %s", path);
	CHECK(!system(command));
	return failures ? 1 : 0;
}
