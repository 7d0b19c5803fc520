#!/usr/bin/env node
// SPDX-License-Identifier: MIT
/**
 * The program `criu-cuda`. The compiled code of what is loaded after this file is kept.
 * @module
 */
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { keepCompiled } from './start/compiled.ts';

keepCompiled(join(dirname(fileURLToPath(import.meta.url)), 'cli'));

// what fails in there is reported there
void import('./command-line.ts').then(({ runCommandLine }) => runCommandLine());
