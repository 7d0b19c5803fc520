#!/usr/bin/env node
// SPDX-License-Identifier: MIT
/**
 * The program `criu-cuda`. The compiled code of what is loaded after this file is kept.
 * @module
 */
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { keepCompiled } from './start/compiled.ts';

keepCompiled(join(dirname(fileURLToPath(import.meta.url)), 'cli'), process.argv.slice(2));

// lib/isolated/request.ts has this word
if (process.argv[2] === '--inside') void import('./isolated/inside.ts').then(({ runInside }) => runInside());
// what fails in there is reported there
else void import('./command-line.ts').then(({ runCommandLine }) => runCommandLine());
