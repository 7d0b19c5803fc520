// SPDX-License-Identifier: MIT
#ifndef CCR_POOL_CONTROL_H
#define CCR_POOL_CONTROL_H

/* Answers one person or program; owns `socket`. */
void control_run(int socket);

#endif
