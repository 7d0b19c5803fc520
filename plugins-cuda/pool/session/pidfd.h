// SPDX-License-Identifier: MIT
#ifndef CCR_POOL_PIDFD_H
#define CCR_POOL_PIDFD_H

#include <sys/types.h>

/* The pid of the process in our PID namespace; -1 if it has ended, 0 if it is outside. */
pid_t pidfd_pid(int pidfd);

#endif
