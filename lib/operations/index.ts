// SPDX-License-Identifier: MIT
/**
 * What the latest dumps and restores did, whoever started them.
 * @module
 */
export { listOperations, type ListOperationsOptions } from './list.ts';
export {
  operationRecord,
  type OperationContainer,
  type OperationProcess,
  type OperationRecord,
} from './record.ts';
