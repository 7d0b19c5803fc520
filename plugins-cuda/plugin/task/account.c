// SPDX-License-Identifier: GPL-2.0-only
#include "plugin/task/account.h"

#include <stdlib.h>

#include "plugin/trace/proc_status.h"

static uint64_t bytes_of(pid_t pid, const char *field)
{
	char value[64];

	if (ccr__proc_status(pid, field, value, sizeof(value)))
		return 0;
	return strtoull(value, NULL, 10) * 1024;
}

uint64_t ccr__account_private(pid_t pid)
{
	return bytes_of(pid, "VmData");
}

uint64_t ccr__account_resident(pid_t pid)
{
	return bytes_of(pid, "RssAnon") + bytes_of(pid, "RssShmem");
}

void ccr__account_report(const struct task *task)
{
	const char *reason = task->memory.reason ? task->memory.reason : "";
	char quoted[256];

	ccr_status_add(&ccr__plugin.status,
		       "{\"event\":\"memory\",\"pid\":%d,\"driver_bytes\":%llu,\"page_bytes\":%llu,"
		       "\"criu_bytes\":%llu,\"reason\":\"%s\"}",
		       task->pid, (unsigned long long)task->memory.driver_bytes,
		       (unsigned long long)task->memory.page_bytes,
		       (unsigned long long)task->memory.criu_bytes,
		       ccr_status_quoted(quoted, sizeof(quoted), reason));
}
