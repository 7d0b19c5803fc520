// SPDX-License-Identifier: MIT
#include <errno.h>
#include <stdlib.h>

#include "image/index/index.h"
#include "pool/images/load.h"

struct pids {
	pid_t *list;
	size_t nr;
};

static int add_pid(struct pids *pids, pid_t pid)
{
	pid_t *more = realloc(pids->list, (pids->nr + 1) * sizeof(*more));

	if (!more)
		return -ENOMEM;
	pids->list = more;
	more[pids->nr++] = pid;
	return 0;
}

static int add_name(const char *name, void *data)
{
	const int pid = ccr_image_pid_of_name(name);

	return pid ? add_pid(data, pid) : 0;
}

static int list_images(int images_dir, struct pids *pids, char *error, size_t size)
{
	struct ccr_index *index;
	int ret = ccr_index_open(&index, images_dir, error, size);

	if (ret == -ENOENT) /* all belong to the checkpoint */
		return ccr_image_for_each_name(images_dir, add_name, pids);
	if (ret)
		return ret;
	for (size_t i = 0; !ret && i < index->nr_members; i++)
		if (index->members[i].has_gpu)
			ret = add_pid(pids, index->members[i].pid);
	ccr_index_close(index);
	return ret;
}

int load_list_images(int images_dir, pid_t **pids, size_t *nr, char *error, size_t size)
{
	struct pids found = {0};
	const int ret = list_images(images_dir, &found, error, size);

	if (ret) {
		free(found.list);
		found = (struct pids){0};
	} else if (size) {
		*error = '\0';
	}
	*pids = found.list;
	*nr = found.nr;
	return ret;
}
