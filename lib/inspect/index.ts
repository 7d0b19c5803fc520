// SPDX-License-Identifier: MIT
export { InspectError } from './error.ts';
export { libcOf, oldestGlibc, preloadable, type Libc, type Preloadable } from './libc.ts';
export { parseElf, type ElfFile, type ElfSymbol } from './elf.ts';
export {
  hookNames,
  inspectPluginDirectory,
  listPlugins,
  inspectPlugin,
  isCudaPlugin,
  type PluginDescriptor,
  type PluginInfo,
  type PluginKind,
} from './plugin.ts';
