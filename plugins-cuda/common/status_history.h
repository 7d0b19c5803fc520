// SPDX-License-Identifier: MIT
/*
 * Status files of runs that have ended. Those that nobody collects, as engines do not, are moved to
 * `<run dir>/history`, where `criu-cuda status` finds the latest ones.
 */
#ifndef CCR_STATUS_HISTORY_H
#define CCR_STATUS_HISTORY_H

#define CCR_STATUS_HISTORY "history"

/* Tidies the run directory: every run of criu does it before it makes its own file. */
void ccr_status_tidy(int run_dir_fd);

#endif
