// SPDX-License-Identifier: MIT
/** Compiles small CRIU plugins, so that tests read files that a linker made. */
import { join } from 'node:path';
import { writeFileSync } from 'node:fs';
import { exec } from '../../../lib/exec.ts';

export interface PluginSource {
  name: string;
  /** Contents of `ccr_plugin_info`. */
  identity?: string;
  /** Numbers of the hooks in the descriptor. */
  hooks?: readonly number[];
  /** Number of a hook that a constructor registers. */
  constructorHook?: number;
  /** Number of a hook in the descriptor whose function is `exported` from `extra`. */
  exportedHook?: number;
  /** Additional C source. */
  extra?: string;
}

function sourceText(source: PluginSource): string {
  const { exportedHook } = source;
  const hooks = [
    ...(source.hooks ?? []).map((number) => `[${number}] = (void *)hook,`),
    ...(exportedHook === undefined ? [] : [`[${exportedHook}] = (void *)exported,`]),
  ].join(' ');
  return `
static int hook(void) { return 0; }
${exportedHook === undefined ? '' : 'int exported(void);'}
int (*unused)(void) = hook;
struct { const char *name; void *init, *exit; unsigned version, max_hooks; void *hooks[12]; }
CR_PLUGIN_DESC = { .name = "${source.name}", .init = (void *)hook, .version = 2 << 8, .max_hooks = 12, .hooks = { ${hooks} } };
${source.identity === undefined ? '' : `const char ccr_plugin_info[] = "${source.identity}";`}
${
  source.constructorHook === undefined
    ? ''
    : `int test_pause_devices(void) { return 0; }
__attribute__((constructor)) static void add(void) { CR_PLUGIN_DESC.hooks[${source.constructorHook}] = (void *)test_pause_devices; }`
}
${source.extra ?? ''}
`;
}

/** @returns the path of the shared object */
export async function compilePlugin(dir: string, file: string, source: PluginSource): Promise<string> {
  const input = join(dir, `${file}.c`);
  const path = join(dir, file);
  writeFileSync(input, sourceText(source));
  await exec('gcc', ['-shared', '-fPIC', '-Wl,--build-id', '-o', path, input]);
  return path;
}
