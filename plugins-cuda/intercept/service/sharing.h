// SPDX-License-Identifier: MIT
/*
 * What the service thread does for memory that processes share. The caller holds the lock of
 * records.h, and the gate is closed. On failure each returns -errno with the reason.
 */
#ifndef CCR_INTERCEPT_SHARING_H
#define CCR_INTERCEPT_SHARING_H

#include "intercept/records/records.h"
#include "intercept/service/connection.h"

/* Sends SHARED for everything that the program has imported or exported, and END. */
int ccr__sharing_send(struct ccr__connection *connection, const char **what);
/* Evict: what the program has imported can only be given back by a pool that knows about it. */
int ccr__sharing_check(const struct ccr__connection *connection, const char **what);
/*
 * Attach, after the program's own memory is placed: says PLACED, serves EXPORT and SHARED, and
 * returns 0 with OPEN, when everything that was imported is mapped.
 */
int ccr__sharing_serve(struct ccr__connection *connection, CUresult *result, const char **what);
/* Everything that the program has, imported or not, is mapped. */
bool ccr__sharing_is_complete(void);

/* EXPORT to a process that has its memory: serves it until another message comes. Takes the lock.
 */
void ccr__sharing_export(struct ccr__connection *connection);

#endif
