// SPDX-License-Identifier: MIT
/**
 * A check of the self-test: a claim of this project, and a function that verifies it or throws.
 * @module
 */
import type { Sandbox } from './sandbox.ts';

/** What a check measured, by name; names of times end in `Ms`, of sizes in `Bytes`. */
export type Figures = Readonly<Record<string, number | string>>;

/** What all checks share. */
export interface CheckSettings {
  /** On the software driver: times are measured, but not judged. */
  software: boolean;
  /** Directory with CRIU's own `cuda_plugin.so` and NVIDIA's `cuda-checkpoint`. */
  upstream?: string | undefined;
  /** The Python that may have PyTorch. */
  python: string;
  /** How many times faster than upstream `full` must restore. */
  minSpeedup: number;
}

export interface Check {
  name: string;
  /** The claim, in one sentence. */
  claim: string;
  /** @throws {@link Skipped} when this machine lacks something; any other error is a failure */
  run: (sandbox: Sandbox, settings: CheckSettings) => Promise<Figures>;
}

/** A check that cannot run here; the message is the reason. */
export class Skipped extends Error {}
