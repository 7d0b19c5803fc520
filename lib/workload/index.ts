// SPDX-License-Identifier: MIT
export { askWorkload, Workload, type WorkloadOptions, type WorkloadStatus } from './workload.ts';
