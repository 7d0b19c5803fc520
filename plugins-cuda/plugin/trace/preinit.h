// SPDX-License-Identifier: GPL-2.0-only
#ifndef CCR_PLUGIN_PREINIT_H
#define CCR_PLUGIN_PREINIT_H

/* In criu, at a restore: starts the preinit process. */
void ccr__preinit_start(void);
/* In criu: closes its end of the socket after the watcher, which keeps a copy, was forked. */
void ccr__preinit_passed(void);

#endif
