// SPDX-License-Identifier: MIT
/** A program for musl, from the C build's tests, and musl itself. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { buildDir } from '../../lib/paths.ts';

export const muslLoader = `/lib/ld-musl-${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}.so.1`;

/** It prints a line, and fails where our exports break its symbol lookup. */
export const muslProgram = join(buildDir(), 'test', 'foreign_musl');

/** Why there is none. */
export const noMusl = !existsSync(muslLoader)
  ? 'the package musl is not installed'
  : existsSync(muslProgram)
    ? undefined
    : `${muslProgram} is not built`;
