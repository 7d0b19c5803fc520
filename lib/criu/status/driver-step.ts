// SPDX-License-Identifier: MIT
/** A driver call that the plugin reports, and what is said about one that failed. */
import * as v from 'valibot';
import { amount, whole } from '../../number-shapes.ts';

/** One driver call. */
export interface DriverStep {
  pid: number;
  step: 'lock' | 'checkpoint' | 'restore' | 'unlock';
  /** The CUresult, 0 for success, and its name. */
  result: number;
  name: string;
  ms: number;
  /** Why it failed, of a call that the pool made, which copies the memory meanwhile. */
  reason?: string | undefined;
}

export const stepLine = v.object({
  event: v.literal('step'),
  pid: whole(1),
  step: v.picklist(['lock', 'checkpoint', 'restore', 'unlock']),
  result: whole(),
  name: v.string(),
  ms: amount,
  reason: v.optional(v.string()),
});

export const stepOf = ({
  pid,
  step,
  result,
  name,
  ms,
  reason,
}: v.InferOutput<typeof stepLine>): DriverStep => ({ pid, step, result, name, ms, reason });

/** The first call that failed, and did not succeed when it was made again, in another way. */
export const failedStep = (steps: readonly DriverStep[]): DriverStep | undefined =>
  steps.find(
    (one, index) =>
      one.result !== 0 &&
      !steps.slice(index + 1).some(({ pid, step }) => pid === one.pid && step === one.step),
  );

/** `CUDA_ERROR_NOT_PERMITTED (800)`, or the reason. */
export const stepFailure = ({ name, result, reason }: DriverStep): string => reason ?? `${name} (${result})`;
