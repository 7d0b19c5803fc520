// SPDX-License-Identifier: MIT
/**
 * Processes that Node did not start: reading, waiting, ending.
 * @module
 */
export { MOST_OF_WORDS, readBeginning } from './beginning.ts';
export { collectBackgroundProcesses, helpsRestore, watcherName } from './background.ts';
export { parseContainer, type Container } from './container.ts';
export { ProcError } from './error.ts';
export {
  boundInodes,
  findPortOwner,
  keptPorts,
  findSocketOwner,
  readTcpSockets,
  type PortEntry,
  type PortProtocol,
} from './port-owner.ts';
export { killDescendantsNow, killTree, killTreeNow, readDescendants, sendSignal } from './kill.ts';
export {
  SystemCallError,
  type MemoryKind,
  type MemoryMap,
  type MemoryMapping,
  type MemoryPages,
  type MemorySums,
} from '../native/index.ts';
export { readMemoryMap, readMemoryPages, type MemoryMapOptions, type MemoryOptions } from './mappings.ts';
export { parseMemory, readMemorySummary, type MemorySummary } from './memory.ts';
export {
  checkNoThread,
  checkPid,
  describeProcess,
  isAlive,
  isDescendant,
  isEnding,
  isSameProcess,
  listPids,
  parseStat,
  readChildren,
  readMappedFiles,
  readStat,
  readThreadState,
  readProcessTree,
  sharesMounts,
  type ProcessStat,
} from './proc.ts';
export {
  becomeSubreaper,
  decodeWaitStatus,
  exitCodeOf,
  markRestored,
  waitForExit,
  waitUntilCollected,
  watchProcess,
  type ExitStatus,
  type WaitOptions,
  type WatchedProcess,
} from './wait.ts';
export { usesOuterTerminal } from './terminal.ts';
export {
  bytesOfFiles,
  ReadMeter,
  residentBytes,
  watchTransfer,
  type FileBytes,
  type OnTransfer,
  type ReadTransfer,
  type TransferProgress,
} from './transfer.ts';
export { waitUntilStopped, wakeTree } from './wake.ts';
