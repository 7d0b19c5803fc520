// SPDX-License-Identifier: MIT
#ifndef CCR_POOL_CONTROL_H
#define CCR_POOL_CONTROL_H

/* Serves one client of the control socket; closes `socket`. */
void control_run(int socket);

#endif
