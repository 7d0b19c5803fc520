// SPDX-License-Identifier: MIT
export type { Check, CheckStatus } from './check.ts';
export { examine, type DoctorOptions, type DoctorReport } from './doctor.ts';
