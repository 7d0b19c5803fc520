// SPDX-License-Identifier: GPL-2.0-only
#ifndef CCR_PLUGIN_PREINIT_H
#define CCR_PLUGIN_PREINIT_H

void ccr__preinit_start(void);
/* The watcher, which has just been forked, keeps it from here on. */
void ccr__preinit_passed(void);

#endif
