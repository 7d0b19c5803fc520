// SPDX-License-Identifier: MIT
#ifndef CCR_POOL_NOTIFY_H
#define CCR_POOL_NOTIFY_H

/* Sends a state to the service manager, if there is one (NOTIFY_SOCKET, sd_notify(3)). */
void pool_notify(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
