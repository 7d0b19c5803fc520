// SPDX-License-Identifier: GPL-2.0-only
#ifndef CCR_PLUGIN_STALE_SOCKETS_H
#define CCR_PLUGIN_STALE_SOCKETS_H

/* Removes the sockets that killed pools left in the run directory. */
void ccr__remove_stale_sockets(const char *run_dir);

#endif
