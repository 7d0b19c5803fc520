// SPDX-License-Identifier: MIT
export { Workload, type WorkloadOptions, type WorkloadStatus } from './workload.ts';
