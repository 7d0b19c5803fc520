// SPDX-License-Identifier: MIT
/*
 * What the keeper's thread and its callers share. One request at a time; the courier
 * delivers it with its descriptor, and meanwhile the caller waits.
 */
#ifndef CCR_INTERCEPT_KEEPER_SHARED_H
#define CCR_INTERCEPT_KEEPER_SHARED_H

#include <errno.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

#include "intercept/keeper/keeper.h"
#include "intercept/keeper/others.h"
#include "intercept/keeper/raw.h"

enum ccr__keep_what { CCR__KEEP, CCR__DROP, CCR__SEND, CCR__PUBLISH, CCR__END };

struct ccr__keep_request {
	enum ccr__keep_what what;
	int fd; /* in the program's table: what to keep, or the socket to send on; or -1 */
	int slots[CCR__KEEP_MAX]; /* numbers in the keeper's table */
	int nr;
	const void *message; /* of CCR__SEND */
	size_t size;
	const struct ccr__published *table; /* of CCR__PUBLISH: replaces the earlier one */
	int result; /* 0 or -errno; of CCR__KEEP, the number in the keeper's table */
};

/* The keeper writes all but the request, and then `is_started`. */
struct ccr__keeper {
	struct ccr__keep_request request;
	struct sockaddr_un name; /* of its socket */
	socklen_t name_size;
	pid_t tid;
	int started;	     /* 0 or -errno */
	uint32_t is_started; /* futex */
	uint32_t is_alive;   /* futex; the kernel clears it */
};

/* The keeper's thread. */
int ccr__keeper_run(void *keeper);

/* pass.c, for both sides, without the C library: each is a raw system call. */

static inline void ccr__pass_name(const char *name)
{
	ccr__raw(SYS_prctl, PR_SET_NAME, name);
}

/* Whether the other end of a connection is this process. */
bool ccr__pass_is_own(int socket);
/* Sends bytes with descriptors. Returns the number of bytes, or -errno. */
long ccr__pass_send(int socket, const void *bytes, size_t size, const int *fds, int nr);
/* Receives one byte, and a descriptor: -1 if there is none, -EMFILE if there is no room for it. */
long ccr__pass_receive(int socket, int *fd);

#endif
