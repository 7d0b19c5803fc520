// SPDX-License-Identifier: MIT
/*
 * The keeper's thread. It owns its descriptor table and nothing else, so it may be
 * killed or forgotten at any time.
 */
#include "intercept/keeper/shared.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>

#define BACKLOG 16

/* Closes what one read of a directory of descriptors lists. True if there was something. */
static bool close_listed(int directory, char *entries, long bytes)
{
	bool any = false;

	for (long at = 0; at < bytes;) {
		/* d_ino, d_off, d_reclen, d_type, d_name */
		const unsigned short length = *(unsigned short *)(entries + at + 16);
		const char *name = entries + at + 19;
		int fd = 0;

		at += length;
		if (*name == '.')
			continue;
		for (; *name; name++)
			fd = 10 * fd + *name - '0';
		if (fd == directory)
			continue;
		ccr__raw(SYS_close, fd);
		any = true;
	}
	return any;
}

static long close_all(void)
{
	char entries[1024] __attribute__((aligned(8)));
	long directory, bytes;
	bool any = true;

	if (!ccr__raw(SYS_close_range, 0, ~0u, 0))
		return 0;
	/* Before Linux 5.9, or refused by a seccomp profile. The program may have no free number.
	 */
	directory = ccr__raw(SYS_openat, AT_FDCWD, "/proc/thread-self/fd",
			     O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	if (directory == -EMFILE) {
		ccr__raw(SYS_close, 0);
		directory = ccr__raw(SYS_openat, AT_FDCWD, "/proc/thread-self/fd",
				     O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	}
	if (directory < 0)
		return directory;
	while (any) {
		any = false;
		ccr__raw(SYS_lseek, directory, 0, SEEK_SET);
		while ((bytes = ccr__raw(SYS_getdents64, directory, entries, sizeof(entries))) > 0)
			any |= close_listed(directory, entries, bytes);
	}
	ccr__raw(SYS_close, directory);
	return 0;
}

static long listen_named(struct ccr__keeper *keeper)
{
	const sa_family_t any = AF_UNIX;
	long socket, ret;

	socket = ccr__raw(SYS_socket, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (socket < 0)
		return socket;
	/* Without a name in the address, the kernel chooses one that is in no directory. */
	ret = ccr__raw(SYS_bind, socket, &any, sizeof(any));
	if (!ret)
		ret = ccr__raw(SYS_listen, socket, BACKLOG);
	keeper->name_size = sizeof(keeper->name);
	if (!ret)
		ret = ccr__raw(SYS_getsockname, socket, &keeper->name, &keeper->name_size);
	return ret ? ret : socket;
}

/* False when CRIU has restored this thread with the program's descriptors. */
static bool is_ours(int socket, const struct sockaddr_un *own, socklen_t own_size)
{
	struct sockaddr_un name;
	socklen_t size = sizeof(name);

	if (ccr__raw(SYS_getsockname, socket, &name, &size) || size != own_size)
		return false;
	for (socklen_t i = 0; i < size; i++)
		if (((const char *)&name)[i] != ((const char *)own)[i])
			return false;
	return true;
}

/* Does what the courier asks, with the descriptor that it has sent. */
static void serve(struct ccr__others *others, struct ccr__keep_request *r, int fd)
{
	switch (r->what) {
	case CCR__KEEP:
		r->result = fd == -1 ? -EBADF : fd;
		return;
	case CCR__DROP:
		r->result = ccr__raw(SYS_close, r->slots[0]);
		break;
	case CCR__SEND:
		r->result = fd < 0 ? fd : ccr__pass_send(fd, r->message, r->size, r->slots, r->nr);
		if (r->result > 0)
			r->result = 0;
		break;
	case CCR__PUBLISH:
		r->result = ccr__others_publish(others, r->table, r->nr);
		break;
	case CCR__END:
		r->result = 0;
		break;
	}
	if (fd >= 0)
		ccr__raw(SYS_close, fd);
}

/* Returns false when the thread is to end. */
static bool serve_connection(struct ccr__keeper *keeper, struct ccr__others *others, int listener)
{
	const long socket = ccr__raw(SYS_accept4, listener, NULL, NULL, SOCK_CLOEXEC);
	bool is_end = false;
	int fd = -1;

	/* Another process may connect to any such name. */
	if (socket >= 0 && ccr__pass_is_own(socket) && ccr__pass_receive(socket, &fd) == 1) {
		serve(others, &keeper->request, fd);
		is_end = keeper->request.what == CCR__END;
		if (is_end)
			close_all();
		else
			ccr__pass_send(socket, "", 1, NULL, 0);
	}
	if (socket >= 0 && !is_end)
		ccr__raw(SYS_close, socket);
	return !is_end;
}

int ccr__keeper_run(void *argument)
{
	struct ccr__keeper *keeper = argument;
	struct sockaddr_un name;
	socklen_t name_size;
	struct pollfd polls[1 + CCR__OTHERS_POLLS];
	struct ccr__others others;
	long socket;

	ccr__pass_name("criu-cuda-keep");
	socket = close_all();
	if (!socket)
		socket = listen_named(keeper);
	keeper->tid = ccr__raw(SYS_gettid, 0);
	keeper->started = socket < 0 ? socket : 0;
	/* The next keeper, if this one is lost, has another name. */
	name = keeper->name;
	name_size = keeper->name_size;
	__atomic_store_n(&keeper->is_started, 1, __ATOMIC_RELEASE);
	ccr__raw(SYS_futex, &keeper->is_started, FUTEX_WAKE, 1);
	if (socket < 0)
		return 0;
	ccr__others_init(&others);
	polls[0] = (struct pollfd){.fd = socket, .events = POLLIN};
	for (;;) {
		long ready;

		ccr__others_poll(&others, polls + 1);
		ready = ccr__raw(SYS_ppoll, polls, 1 + CCR__OTHERS_POLLS, NULL, NULL, 8);
		if (!is_ours(socket, &name, name_size))
			return 0;
		if (ready <= 0)
			continue;
		ccr__others_serve(&others, polls + 1);
		if (polls[0].revents && !serve_connection(keeper, &others, socket))
			return 0;
	}
}
