// SPDX-License-Identifier: GPL-2.0-only
/*
 * The part of CRIU's plugin interface (version 0.2) that this plugin uses,
 * declared by us so that the build needs no CRIU source. When the build finds
 * criu-plugin.h, test/plugin/abi.c compares every number and offset with it.
 * Facts: CRIU's criu/include/{criu-plugin,cr_options,seize,image}.h, 4.0-4.2.1.
 */
#ifndef CCR_CRIU_ABI_H
#define CCR_CRIU_ABI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CRIU_PLUGIN_VERSION_0_2 ((0 << 16) + (2 << 8) + 0)

enum {
	HOOK_DUMP_UNIX_SK = 0,
	HOOK_RESTORE_UNIX_SK = 1,
	HOOK_DUMP_EXT_FILE = 2,
	HOOK_RESTORE_EXT_FILE = 3,
	HOOK_HANDLE_DEVICE_VMA = 7,
	HOOK_UPDATE_VMA_MAP = 8,
	HOOK_RESUME_DEVICES_LATE = 9,
	HOOK_PAUSE_DEVICES = 10,
	HOOK_CHECKPOINT_DEVICES = 11,
	/* The hooks of CRIU 4.0. CRIU refuses a plugin with more hooks than it knows. */
	NR_HOOKS = 12,
};

enum { STAGE_DUMP, STAGE_PRE_DUMP, STAGE_RESTORE };

/* opts.final_state */
enum { FINAL_ALIVE = 1, FINAL_DEAD = 2, FINAL_STOPPED = 3 };

struct criu_plugin {
	const char *name;
	int (*init)(int stage);
	void (*exit)(int stage, int ret);
	unsigned int version;
	unsigned int max_hooks;
	void *hooks[NR_HOOKS];
};

/* CRIU finds it with dlsym. */
extern struct criu_plugin CR_PLUGIN_DESC;

/* Exported by the criu binary, which is linked with -rdynamic. */
extern void print_on_level(unsigned int level, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* Adds the plugin to the inventory image: CRIU refuses a restore without it. Returns 0 or -1. */
extern int add_inventory_plugin(const char *name);
/* True when the inventory names the plugin; also removes it from CRIU's list of missing plugins. */
extern bool check_and_remove_inventory_plugin(const char *name, size_t length);
/* The images directory: CRIU's own descriptor, which we must not close. */
extern int criu_get_image_dir(void);
/* Since 4.1: makes CRIU seize with PTRACE_INTERRUPT only, so that a frozen cgroup does not stop the
 * restore thread. */
extern void set_compel_interrupt_only_mode(void) __attribute__((weak));
/* Takes the next number of CRIU's count of open files, which begins with 1; without `parms`, for no
 * file. */
extern int fd_id_generate_special(void *parms, uint32_t *id) __attribute__((weak));
/* The lists of hooks, two pointers each, after two pointers: its size tells how many hooks CRIU
 * has. */
extern const char cr_plugin_ctl[] __attribute__((weak));
/*
 * CRIU with more hooks than 4.2.1 calls RESTORE_EXT_FILE with a second argument, a pointer to a
 * bool that it has not set: whether to call again. In others, the register has any value.
 */
#define NR_HOOKS_WITHOUT_RETRY 13
/* Only the first field of CRIU's options has the same offset in all 4.x releases. */
extern struct {
	int final_state;
} opts;

#endif
