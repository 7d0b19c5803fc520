// SPDX-License-Identifier: MIT
/**
 * What the latest dumps and restores did, also those that an engine started.
 * @module
 */
export { listOperations, type ListOperationsOptions } from './list.ts';
export {
  operationRecord,
  type OperationContainer,
  type OperationProcess,
  type OperationRecord,
} from './record.ts';
