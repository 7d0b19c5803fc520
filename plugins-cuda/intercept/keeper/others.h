// SPDX-License-Identifier: MIT
/*
 * What the keeper gives to other processes: one that knows the token of a descriptor gets a
 * duplicate. Its socket for them has a name that they can find, and appears with the first
 * token. All functions run in the keeper's thread.
 */
#ifndef CCR_INTERCEPT_OTHERS_H
#define CCR_INTERCEPT_OTHERS_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

/* Connections of others whose question has not come yet; a new one ends the oldest. */
#define CCR__OTHERS_PENDING 8
#define CCR__OTHERS_POLLS   (1 + CCR__OTHERS_PENDING)
/* Processes with the same pid, in other pid namespaces, may share the names of one network. */
#define CCR__OTHERS_NAMES 16

struct ccr__token {
	uint64_t random[2];
};

struct ccr__published {
	struct ccr__token token;
	int slot; /* in the keeper's table */
};

struct ccr__others {
	int listener; /* -1: none */
	int pending[CCR__OTHERS_PENDING];
	const struct ccr__published *table; /* the program's memory */
	int nr;
};

/* The n-th name of the keeper of a process, and its size. */
socklen_t ccr__others_name(struct sockaddr_un *name, pid_t pid, unsigned int n);
/* Whether a process with this user id may be answered, or asked, by one with the other. */
bool ccr__others_may(uid_t one, uid_t other);

void ccr__others_init(struct ccr__others *others);
/* Replaces the table. Returns 0, or -errno: nothing has changed. */
long ccr__others_publish(struct ccr__others *others, const struct ccr__published *table, int nr);
/* Fills CCR__OTHERS_POLLS entries; serves what was found ready. */
void ccr__others_poll(const struct ccr__others *others, struct pollfd *polls);
void ccr__others_serve(struct ccr__others *others, const struct pollfd *polls);

#endif
