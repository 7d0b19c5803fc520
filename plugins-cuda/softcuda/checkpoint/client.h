// SPDX-License-Identifier: MIT
// The caller's side of cuCheckpointProcess*: one request to a process, and its reply.
#ifndef CCR_SOFTCUDA_CLIENT_H
#define CCR_SOFTCUDA_CLIENT_H

#include "softcuda/checkpoint/checkpoint.h"

// Sends the request and waits for the reply, of which it returns the result. `reply` may be NULL.
CUresult ccr_client_call(int pid, struct ccr_request *request, struct ccr_reply *reply);
// Opens the pipe whose lock says that an operation with custom storage is in progress. -1: it
// cannot be opened.
int ccr_client_open_owner(int pid);

// Begins an operation with custom storage (operation.c).
CUresult ccr_operation_begin(int pid, struct ccr_request *request,
			     CUcheckpointCustomStorageInfo **info);

#endif
