// SPDX-License-Identifier: GPL-2.0-only
/*
 * The descriptor backup: shared by all tasks of a dump and read by the watcher
 * until the last writer closes it.
 */
#include <stdio.h>
#include <unistd.h>

#include "plugin/device/fd_backup.h"
#include "plugin/device/pool_link.h"
#include "test/check.h"
#include "common/protocol/message.h"

struct pool_link ccr__pool_link = {.socket = -1, .images_dir = -1, .fd_backup = {-1, -1}};

static void deposit(int fd_backup, uint32_t operation)
{
	struct ccr_message end;

	ccr_message_init(&end, CCR_MSG_END, operation);
	CHECK(!ccr_message_send(fd_backup, &end, NULL, 0));
}

int main(void)
{
	int *const fd_backup = ccr__pool_link.fd_backup;
	int watchers, writer;

	CHECK(!ccr__fd_backup_open() && fd_backup[0] >= 0 && fd_backup[1] >= 0);
	watchers = fd_backup[0];
	writer = fd_backup[1];
	deposit(writer, 1);

	/*
	 * The reading end was passed to the watcher with the first task; the
	 * second has the same backup.
	 */
	fd_backup[0] = -1;
	CHECK(!ccr__fd_backup_open());
	CHECK(fd_backup[0] == -1 && fd_backup[1] == writer);
	deposit(fd_backup[1], 2);

	fd_backup[0] = watchers;
	CHECK(ccr__fd_backup_take() && ccr__fd_backup_take() && !ccr__fd_backup_take());
	CHECK(fd_backup[0] == watchers);
	close(writer);
	CHECK(!ccr__fd_backup_take() && fd_backup[0] == -1);
	return failures ? 1 : 0;
}
