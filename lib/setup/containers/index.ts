// SPDX-License-Identifier: MIT
/** A machine for containers. @module */
export { SetupRecord, type SetupEntry, type PathState, type UndoneSetup } from './record.ts';
export {
  planContainerSetup,
  settingsText,
  storeDir,
  undoContainerSetup,
  withoutIoUring,
  type ContainerSetupOptions,
  type ContainerSetupStep,
} from './steps.ts';
