// SPDX-License-Identifier: MIT
export { WorkloadError } from './error.ts';
export { Program } from './program.ts';
export { askWorkload, Workload, type WorkloadOptions, type WorkloadStatus } from './workload.ts';
