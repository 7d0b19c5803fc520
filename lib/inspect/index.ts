// SPDX-License-Identifier: MIT
export { parseElf, type ElfFile, type ElfSymbol } from './elf.ts';
export {
  hookNames,
  inspectDirectory,
  inspectPlugin,
  isCudaPlugin,
  type PluginDescriptor,
  type PluginInfo,
  type PluginKind,
} from './plugin.ts';
