// SPDX-License-Identifier: GPL-2.0-only
/* Removes what CRIU's --network-lock adds for the connections of one dump. */
#ifndef CCR_PLUGIN_NETWORK_LOCK_H
#define CCR_PLUGIN_NETWORK_LOCK_H

#include <netinet/in.h>
#include <sys/types.h>

union ccr__address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

struct ccr__address_pair {
	union ccr__address local, peer;
};

/* Removes criu's nftables table, and finds out whether iptables has rules of CRIU. */
void ccr__network_unlock_begin(void);
/* In the network namespace of that process, which is not criu's own: removes all that CRIU has
 * made. CRIU drops every packet there, whether or not there are connections. */
void ccr__network_unlock_namespace(pid_t pid);
/* Removes the iptables rules of one connection. */
void ccr__network_unlock(const struct ccr__address_pair *pair);

#endif
