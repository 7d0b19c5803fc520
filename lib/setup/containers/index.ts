// SPDX-License-Identifier: MIT
/** A machine for containers. @module */
export { HostRecord, type HostEntry, type PathState } from './record.ts';
export {
  planHost,
  settingsText,
  storeDir,
  undoHost,
  withoutIoUring,
  type HostOptions,
  type HostStep,
} from './steps.ts';
