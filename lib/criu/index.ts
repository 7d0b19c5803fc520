// SPDX-License-Identifier: MIT
/**
 * The program criu: its command line, its logs, its images, and what the plugin reports from inside it.
 * @module
 */
export {
  dumpArguments,
  dumpLog,
  restoreArguments,
  restoreLog,
  type CriuOptions,
  type DumpArguments,
  type RestoreArguments,
} from './arguments.ts';
export {
  completeFlags,
  criuFlags,
  criuFlagNames,
  criuFlagWords,
  flagWord,
  pickCriuFlags,
  type CriuFlag,
  type CriuFlags,
} from './flags.ts';
export { CriuStatusError } from './error.ts';
export { CriuImageError } from './image.ts';
export { lookAt, lookProgram, type CheckResult, type LookOptions, type Reason } from './look.ts';
export { chooseNetworkLock, type NetworkLock, type NetworkLockChoice } from './network-lock.ts';
export {
  addressText,
  adjustImages,
  readOpenFiles,
  readWrittenMappings,
  readOutsidePipes,
  type AdjustedImages,
  type OpenFile,
  type OutsideConnection,
  type OutsidePipe,
  readFileNames,
  readBoundSocket,
  type BoundSocket,
} from './open/open-files.ts';
export { readFilesAhead } from './open/files-image.ts';
export { imagesWithoutTerminal } from './open/terminals.ts';
export { relocateFile } from './open/relocate.ts';
export { readCriuLog, summarizeCriuLog, type CriuLogSummary } from './log.ts';
export { historyDir, listStatusFiles, type StatusFile } from './status/op-history.ts';
export { failedStep, stepFailure, type DriverStep } from './status/driver-step.ts';
export {
  archiveOpStatus,
  listOpStatus,
  opStatusPath,
  parseOpStatus,
  readOpStatus,
  tryReadOpStatus,
  removeOpStatus,
  type CudaTask,
  type OpOrigin,
  type OpProcess,
  type OpStatus,
  type PoolTask,
} from './status/op-status.ts';
export {
  memoryText,
  memoryWarnings,
  type Fallback,
  type PoolMemory,
  type TaskMemory,
} from './status/task-memory.ts';
export { dumpPhases, restorePhases, type Phase } from './phases.ts';
export { imageNeeds, inventoryNeeds, variantsFor, type ImageNeeds } from './image-needs.ts';
export {
  choosePlugin,
  findPluginDir,
  type ChosenPlugin,
  type PluginChoice,
  type PreferredDirectory,
  type UsedPlugin,
} from './plugin-dir.ts';
export {
  contentBytes,
  dumpTransfer,
  packedDumpTransfer,
  packedRestoreTransfer,
  restoreTransfer,
} from './progress.ts';
export { readInventory, readPstree, type ImageTask, type Inventory } from './pstree.ts';
export {
  checkOperationOptions,
  checkWorkDir,
  criuOptions,
  resolveOperation,
  type Operation,
  type OperationOptions,
} from './operation.ts';
export { collectStatus, criuFacts, isStandby, runCriu, type CriuResult, type CriuRun } from './run-criu.ts';
export { traceDocument, withTrace, type RunTimes, type Trace, type TraceOptions } from './trace/index.ts';
export type { TraceDocument, TraceEvent } from './trace/events.ts';
export { checkMaySuspendFilters, imagesHaveFilter, isFiltered } from './seccomp.ts';
export { readListening, readListeningPorts, readSocketPaths, type ListeningSocket } from './open/sockets.ts';
export { readMonotonicSeconds } from './clocks.ts';
export { dropParentSignal } from './parent-signal.ts';
export { readDumpStats, readRestoreStats, type DumpStats, type RestoreStats } from './stats.ts';
