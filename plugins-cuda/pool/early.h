// SPDX-License-Identifier: MIT
#ifndef CCR_POOL_EARLY_H
#define CCR_POOL_EARLY_H

/*
 * Starts the driver before criu runs, for one run of criu, whose plugin takes the descriptor
 * CCR_EARLY_SOCKET from this process; and loads the images of a directory, or for a dump, `dir`
 * NULL, makes the only device ready. Ends without having served anybody when standard input is
 * closed, or nobody has come in time. Returns the exit code.
 */
int early_run(const char *dir);

#endif
