// SPDX-License-Identifier: GPL-2.0-only
/* Compares our declaration of CRIU's plugin interface with CRIU's header. */
#include <stdio.h>

#ifdef HAVE_CRIU_PLUGIN_H
#include <criu-plugin.h>
#define CR_PLUGIN_DESC ours_desc
#include "plugin/task/criu_abi.h"

#define SAME(ours, theirs)                                                                         \
	do {                                                                                       \
		if ((long)(ours) != (long)(theirs)) {                                              \
			printf("%s is %ld, CRIU says %ld\n", #ours, (long)(ours), (long)(theirs)); \
			bad = 1;                                                                   \
		}                                                                                  \
	} while (0)

int main(void)
{
	int bad = 0;

	SAME(HOOK_DUMP_UNIX_SK, CR_PLUGIN_HOOK__DUMP_UNIX_SK);
	SAME(HOOK_RESTORE_UNIX_SK, CR_PLUGIN_HOOK__RESTORE_UNIX_SK);
	SAME(HOOK_DUMP_EXT_FILE, CR_PLUGIN_HOOK__DUMP_EXT_FILE);
	SAME(HOOK_RESTORE_EXT_FILE, CR_PLUGIN_HOOK__RESTORE_EXT_FILE);
	SAME(HOOK_HANDLE_DEVICE_VMA, CR_PLUGIN_HOOK__HANDLE_DEVICE_VMA);
	SAME(HOOK_UPDATE_VMA_MAP, CR_PLUGIN_HOOK__UPDATE_VMA_MAP);
	SAME(HOOK_RESUME_DEVICES_LATE, CR_PLUGIN_HOOK__RESUME_DEVICES_LATE);
	SAME(HOOK_PAUSE_DEVICES, CR_PLUGIN_HOOK__PAUSE_DEVICES);
	SAME(HOOK_CHECKPOINT_DEVICES, CR_PLUGIN_HOOK__CHECKPOINT_DEVICES);
	SAME(STAGE_DUMP, CR_PLUGIN_STAGE__DUMP);
	SAME(STAGE_PRE_DUMP, CR_PLUGIN_STAGE__PRE_DUMP);
	SAME(STAGE_RESTORE, CR_PLUGIN_STAGE__RESTORE);
	SAME(CRIU_PLUGIN_VERSION_0_2, CRIU_PLUGIN_VERSION);
	SAME(offsetof(struct criu_plugin, init), offsetof(cr_plugin_desc_t, init));
	SAME(offsetof(struct criu_plugin, exit), offsetof(cr_plugin_desc_t, exit));
	SAME(offsetof(struct criu_plugin, version), offsetof(cr_plugin_desc_t, version));
	SAME(offsetof(struct criu_plugin, max_hooks), offsetof(cr_plugin_desc_t, max_hooks));
	SAME(offsetof(struct criu_plugin, hooks), offsetof(cr_plugin_desc_t, hooks));
	SAME(__builtin_types_compatible_p(CR_PLUGIN_HOOK__RESTORE_EXT_FILE_t, int(int)),
	     (int)CR_PLUGIN_HOOK__MAX <= (int)NR_HOOKS_WITHOUT_RETRY);
	if ((int)NR_HOOKS > (int)CR_PLUGIN_HOOK__MAX) {
		printf("CRIU has %d hooks, we declare %d\n", CR_PLUGIN_HOOK__MAX, NR_HOOKS);
		bad = 1;
	}
	return bad;
}
#else
int main(void)
{
	printf("skipped: no criu-plugin.h found (libcriu-dev, or -DCRIU_SRC=…)\n");
	return 77;
}
#endif
