// SPDX-License-Identifier: MIT
/* The page in which the interceptor says what the process shares, and which protocol it speaks. */
#include "look/process.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void ccr__look_mailbox(struct process *process, int root)
{
	struct ccr_mailbox *mailbox = &process->mailbox;
	char path[32];
	ssize_t len;
	int fd;

	if (!process->mailbox_address)
		return;
	snprintf(path, sizeof(path), "proc/%d/mem", process->pid);
	fd = openat(root, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	len = pread(fd, mailbox, sizeof(*mailbox), process->mailbox_address);
	close(fd);
	if (len != sizeof(*mailbox) || mailbox->magic != CCR_MAILBOX_MAGIC)
		memset(mailbox, 0, sizeof(*mailbox));
	/* What an earlier interceptor does not know is zero. */
	if (mailbox->size < sizeof(*mailbox))
		memset((char *)mailbox + mailbox->size, 0, sizeof(*mailbox) - mailbox->size);
}
