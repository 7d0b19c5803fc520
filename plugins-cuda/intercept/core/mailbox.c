// SPDX-License-Identifier: MIT
#include "intercept/core/mailbox.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/protocol/protocol.h"

static struct ccr_mailbox unread;
struct ccr_mailbox *ccr__mailbox = &unread;

int ccr__mailbox_create(void)
{
	/* The C library has the function since 2.27 only. */
	const int fd = syscall(SYS_memfd_create, CCR_MAILBOX_NAME, MFD_CLOEXEC);
	struct ccr_mailbox *mailbox = MAP_FAILED;
	int ret = 0;

	if (fd < 0)
		return -errno;
	if (!ftruncate(fd, CCR_MAILBOX_BYTES))
		mailbox = mmap(NULL, CCR_MAILBOX_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	if (mailbox == MAP_FAILED)
		ret = -errno;
	close(fd);
	if (ret)
		return ret;
	*mailbox = (struct ccr_mailbox){
		.magic = CCR_MAILBOX_MAGIC,
		.protocol = CCR_PROTOCOL_VERSION,
		.size = sizeof(*mailbox),
		.ends = CCR_MAILBOX_NO_ENDS,
	};
	ccr__mailbox = mailbox;
	return 0;
}
