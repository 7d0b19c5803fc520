// SPDX-License-Identifier: MIT
export { InspectError } from './error.ts';
export { parseElf, type ElfFile, type ElfSymbol } from './elf.ts';
export {
  hookNames,
  inspectPluginDirectory,
  inspectPlugin,
  isCudaPlugin,
  type PluginDescriptor,
  type PluginInfo,
  type PluginKind,
} from './plugin.ts';
