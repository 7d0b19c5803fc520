// SPDX-License-Identifier: MIT
/** The demo: one checkpoint and one restore, with verification. @module */
export { DemoError } from './error.ts';
export { runDemo, type DemoOptions, type DemoResult, type ShowStep } from './demo.ts';
export { createScratch, type Scratch } from './scratch.ts';
