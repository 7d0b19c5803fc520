// SPDX-License-Identifier: MIT
/** Which variant and settings to use here, and what to expect. @module */
export {
  advise,
  type Advice,
  type AdviseOptions,
  type FasterWay,
  type UtilizationRow,
  type WayAdvice,
} from './advise.ts';
export type { Amounts, Way } from './estimate.ts';
export type { AdviceFacts, LimitsFacts, ProcessFacts, StoreFacts } from './facts.ts';
