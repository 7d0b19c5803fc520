// SPDX-License-Identifier: GPL-2.0-only
/*
 * CRIU adds, with iptables, two rules for each connection, and deletes them one by one; in a
 * network namespace that the tree has for itself, a chain that drops everything. With nftables it
 * makes a table whose name has the id of its run, and deletes the table.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "plugin/watch/network_lock.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <sched.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MARK	    "0xC114" /* of CRIU's own packets */
#define TEXT_MAX    (INET6_ADDRSTRLEN + 8)
#define RUN_ID	    "criu_run_id"
#define RUN_ID_PART 21 /* what CRIU 4.2 has room for */
#define TABLE_MAX   80
#define CHAIN	    "CRIU"

extern char **environ;

/* The functions of libnftables, which criu is linked with, or not. */
static bool delete_table(const char *name)
{
	void *(*const new)(uint32_t) = dlsym(RTLD_DEFAULT, "nft_ctx_new");
	int (*const buffer_error)(void *) = dlsym(RTLD_DEFAULT, "nft_ctx_buffer_error");
	int (*const run)(void *, const char *) = dlsym(RTLD_DEFAULT, "nft_run_cmd_from_buffer");
	void (*const end)(void *) = dlsym(RTLD_DEFAULT, "nft_ctx_free");
	char command[TABLE_MAX + 32];
	void *context;
	bool is_done;

	if (!new || !buffer_error || !run || !end)
		return false;
	context = new (0);
	if (!context)
		return false;
	buffer_error(context); /* usually there is no such table */
	snprintf(command, sizeof(command), "delete table inet %s", name);
	is_done = !run(context, command);
	end(context);
	return is_done;
}

static void delete_own_table(void)
{
	const char *run_id = dlsym(RTLD_DEFAULT, RUN_ID);
	char name[TABLE_MAX];

	if (!run_id)
		return;
	snprintf(name, sizeof(name), "CRIU-%.*s", RUN_ID_PART, run_id);
	if (delete_table(name))
		return;
	snprintf(name, sizeof(name), "CRIU-%.64s", run_id);
	delete_table(name);
}

static bool run(char *const arguments[])
{
	posix_spawn_file_actions_t actions;
	int status = -1;
	pid_t pid;

	posix_spawn_file_actions_init(&actions);
	for (int fd = 0; fd <= STDERR_FILENO; fd++)
		posix_spawn_file_actions_addopen(&actions, fd, "/dev/null", O_RDWR, 0);
	if (!posix_spawnp(&pid, arguments[0], &actions, NULL, arguments, environ))
		waitpid(pid, &status, 0);
	posix_spawn_file_actions_destroy(&actions);
	return status == 0;
}

static bool has_marked_rules(const char *list)
{
	FILE *rules = popen(list, "re");
	bool found = false;
	char line[512];

	while (rules && fgets(line, sizeof(line), rules))
		found |= strcasestr(line, MARK) != NULL;
	if (rules)
		pclose(rules);
	return found;
}

static bool has_v4_rules, has_v6_rules;

void ccr__network_unlock_begin(void)
{
	delete_own_table();
	has_v4_rules = has_marked_rules("iptables -w -t filter -S 2>/dev/null");
	has_v6_rules = has_marked_rules("ip6tables -w -t filter -S 2>/dev/null");
}

static void delete_chain(char *program)
{
	char *const commands[][7] = {{program, "-w", "-D", "INPUT", "-j", CHAIN, NULL},
				     {program, "-w", "-D", "OUTPUT", "-j", CHAIN, NULL},
				     {program, "-w", "-F", CHAIN, NULL},
				     {program, "-w", "-X", CHAIN, NULL}};

	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		run(commands[i]);
}

/* In a process of its own, because it enters the namespace. */
void ccr__network_unlock_namespace(pid_t pid)
{
	char path[32];
	pid_t child;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/ns/net", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	child = fork();
	if (!child) {
		if (setns(fd, CLONE_NEWNET))
			_exit(1);
		delete_own_table();
		delete_chain("iptables");
		delete_chain("ip6tables");
		_exit(0);
	}
	close(fd);
	if (child > 0)
		waitpid(child, NULL, 0);
}

struct end {
	char address[INET6_ADDRSTRLEN], port[8];
};

/* Returns the family of the packets: an IPv6 socket may have an IPv4 connection. */
static int describe(const union ccr__address *address, struct end *end)
{
	const bool is_v6 = address->any.sa_family == AF_INET6;
	const struct in6_addr *v6 = &address->v6.sin6_addr;
	const bool is_mapped = is_v6 && IN6_IS_ADDR_V4MAPPED(v6);
	const int family = is_mapped ? AF_INET : address->any.sa_family;
	const void *bytes = &address->v4.sin_addr;

	if (is_v6)
		bytes = is_mapped ? &v6->s6_addr[12] : v6->s6_addr;
	inet_ntop(family, bytes, end->address, sizeof(end->address));
	snprintf(end->port, sizeof(end->port), "%d",
		 ntohs(is_v6 ? address->v6.sin6_port : address->v4.sin_port));
	return family;
}

static void delete_rule(int family, char *chain, struct end *from, struct end *to)
{
	char *const arguments[] = {family == AF_INET6 ? "ip6tables" : "iptables",
				   "-w",
				   "-t",
				   "filter",
				   "-D",
				   chain,
				   "--protocol",
				   "tcp",
				   "-m",
				   "mark",
				   "!",
				   "--mark",
				   MARK,
				   "--source",
				   from->address,
				   "--sport",
				   from->port,
				   "--destination",
				   to->address,
				   "--dport",
				   to->port,
				   "-j",
				   "DROP",
				   NULL};

	if (!(family == AF_INET6 ? has_v6_rules : has_v4_rules))
		return;
	while (run(arguments)) /* an earlier dump that was killed may have left one, too */
		;
}

void ccr__network_unlock(const struct ccr__address_pair *pair)
{
	struct end local, peer;
	const int family = describe(&pair->local, &local);

	describe(&pair->peer, &peer);
	delete_rule(family, "INPUT", &peer, &local);
	delete_rule(family, "OUTPUT", &local, &peer);
}
