#!/usr/bin/env node
// SPDX-License-Identifier: MIT
/**
 * The program `criu-cuda`. Node 22 and later keep the compiled code of what is loaded after this file.
 * @module
 */
import module from 'node:module';
import { ownCacheDir } from './own-cache.ts';

const { enableCompileCache } = module as { enableCompileCache?: (directory: string) => unknown };
const compiled = enableCompileCache && ownCacheDir('compiled');
if (compiled !== undefined) enableCompileCache?.(compiled);

// what fails in there is reported there
void import('./command-line.ts').then(({ runCommandLine }) => runCommandLine());
