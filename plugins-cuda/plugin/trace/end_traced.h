// SPDX-License-Identifier: GPL-2.0-only
#ifndef CCR_PLUGIN_END_TRACED_H
#define CCR_PLUGIN_END_TRACED_H

/*
 * After a failed restore: kills every process that criu traces, which is all that it restored, and
 * collects them as far as nobody else can. Waits as long as CRIU_CUDA_STEP_TIMEOUT_MS allows. Then
 * CRIU, which waits without a limit for the first process of a PID namespace, does not wait for
 * what only itself could end.
 */
void ccr__end_traced(void);

#endif
