// SPDX-License-Identifier: MIT
/* See intercept_test.h. Each import is matched with an export that is the same open file. */
#include "test/intercept/intercept_test.h"
#include "common/protocol/message.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MAX_SHARED 1024
#define WAIT_MS	   60000

struct shared {
	struct ccr_wire_shared wire;
	int fd;	      /* from the dump; then, of an export, the new one; or -1 */
	int exported; /* of an import: the index of its export, or -1 */
};

static struct {
	struct shared all[MAX_SHARED];
	int nr;
} sharing;

static void close_fd(struct shared *s)
{
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
}

void sharing_forget(void)
{
	for (int i = 0; i < sharing.nr; i++)
		close_fd(&sharing.all[i]);
	sharing.nr = 0;
}

void sharing_take(const struct ccr_message *message, const int *fds)
{
	for (uint32_t i = 0; i < message->shared.count; i++) {
		CHECK(sharing.nr < MAX_SHARED);
		sharing.all[sharing.nr++] = (struct shared){
			.wire = message->shared.entry[i], .fd = fds[i], .exported = -1};
	}
}

static bool is_same_file(int a, int b)
{
	/* KCMP_FILE is 0 */
	return !syscall(SYS_kcmp, getpid(), getpid(), 0, a, b);
}

static void match(void)
{
	for (int i = 0; i < sharing.nr; i++)
		for (int k = 0; k < sharing.nr; k++) {
			struct shared *const import = &sharing.all[i], *e = &sharing.all[k];

			if (import->wire.kind != CCR_SHARED_IMPORT ||
			    e->wire.kind != CCR_SHARED_EXPORT || import->exported >= 0)
				continue;
			if (is_same_file(import->fd, e->fd))
				import->exported = k;
		}
}

bool sharing_needed(struct pool_reply *reply)
{
	match();
	for (int i = 0; i < sharing.nr; i++) {
		const bool is_import = sharing.all[i].wire.kind == CCR_SHARED_IMPORT;

		reply->nr_imports += is_import;
		reply->nr_exports += !is_import;
		reply->nr_matched += sharing.all[i].exported >= 0;
	}
	return sharing.nr;
}

void sharing_drop_fds(void)
{
	match();
	for (int i = 0; i < sharing.nr; i++)
		close_fd(&sharing.all[i]);
}

static int expect(int connection, enum ccr_message_type type, struct ccr_message *message, int *fds,
		  int *nr_fds)
{
	const int ret = ccr_message_receive(connection, message, fds, nr_fds, WAIT_MS);

	if (!ret && message->type == CCR_MSG_FAILED)
		fprintf(stderr, "the thread says: %s\n", message->failed.text);
	return ret ? ret : message->type == type ? 0 : -ECANCELED;
}

/* Asks for the export of each import, one at a time. */
static int export_all(int connection, uint32_t operation)
{
	for (int i = 0; i < sharing.nr; i++) {
		struct shared *const import = &sharing.all[i];
		int fds[CCR_HANDLES_A_MESSAGE], nr_fds, ret;
		struct ccr_message m;

		if (import->exported < 0)
			continue;
		ccr_message_init(&m, CCR_MSG_EXPORT, operation);
		m.exports.count = 1;
		m.exports.id[0] = sharing.all[import->exported].wire.id;
		ret = ccr_message_send(connection, &m, NULL, 0);
		if (!ret)
			ret = expect(connection, CCR_MSG_HANDLES, &m, fds, &nr_fds);
		if (ret)
			return ret;
		CHECK(m.handles.count == 1 && nr_fds == 1 &&
		      m.handles.entry[0].id == sharing.all[import->exported].wire.id);
		close_fd(import);
		import->fd = fds[0];
	}
	return 0;
}

static int send_imports(int connection, uint32_t operation, bool forget_one)
{
	for (int i = 0; i < sharing.nr; i++) {
		struct ccr_message m;
		int ret;

		if (sharing.all[i].exported < 0)
			continue;
		if (forget_one) {
			forget_one = false;
			continue;
		}
		ccr_message_init(&m, CCR_MSG_SHARED, operation);
		m.shared.count = 1;
		m.shared.entry[0] = sharing.all[i].wire;
		ret = ccr_message_send(connection, &m, &sharing.all[i].fd, 1);
		if (ret)
			return ret;
	}
	return 0;
}

int sharing_attach(int connection, const struct pool_request *request)
{
	const uint32_t operation = request->operation;
	struct ccr_message m;
	int ret = expect(connection, CCR_MSG_PLACED, &m, NULL, NULL);

	if (!ret && request->stop == BREAK_AFTER_PLACED)
		return 1;
	if (!ret)
		ret = export_all(connection, operation);
	if (!ret && request->stop == BREAK_AFTER_EXPORT)
		return 1;
	if (!ret)
		ret = send_imports(connection, operation, request->stop == FORGET_IMPORT);
	ccr_message_init(&m, CCR_MSG_END, operation);
	if (!ret)
		ret = ccr_message_send(connection, &m, NULL, 0);
	if (!ret)
		ret = expect(connection, CCR_MSG_PLACED, &m, NULL, NULL);
	if (!ret && request->stop == BREAK_BEFORE_OPEN)
		return 1;
	ccr_message_init(&m, CCR_MSG_OPEN, operation);
	return ret ? ret : ccr_message_send(connection, &m, NULL, 0);
}
