// SPDX-License-Identifier: GPL-2.0-only
/* The vault: one for all tasks of a dump, read by the watcher until the last writer is gone. */
#include <stdio.h>
#include <unistd.h>

#include "plugin/device/pool_link.h"
#include "test/check.h"
#include "common/protocol/message.h"

struct pool_link ccr__pool_link = {.socket = -1, .images_dir = -1, .vault = {-1, -1}};

static void deposit(int vault, uint32_t operation)
{
	struct ccr_message end;

	ccr_message_init(&end, CCR_MSG_END, operation);
	CHECK(!ccr_message_send(vault, &end, NULL, 0));
}

int main(void)
{
	int *const vault = ccr__pool_link.vault;
	int watchers, writer;

	CHECK(!ccr__vault_open() && vault[0] >= 0 && vault[1] >= 0);
	watchers = vault[0];
	writer = vault[1];
	deposit(writer, 1);

	/* The first task's reading end was passed on; the second has the same vault. */
	vault[0] = -1;
	CHECK(!ccr__vault_open());
	CHECK(vault[0] == -1 && vault[1] == writer);
	deposit(vault[1], 2);

	vault[0] = watchers;
	CHECK(ccr__vault_take() && ccr__vault_take() && !ccr__vault_take());
	CHECK(vault[0] == watchers);
	close(writer);
	CHECK(!ccr__vault_take() && vault[0] == -1);
	return failures ? 1 : 0;
}
