// SPDX-License-Identifier: MIT
export type { MachineCheck, CheckStatus } from './check.ts';
export { checkMachine, type CheckMachineOptions, type MachineReport } from './doctor.ts';
