// SPDX-License-Identifier: MIT
// Every source file names its license in its first line (in its second after an interpreter): GPL-2.0-only in
// plugins-cuda/plugin and in its tests, MIT elsewhere. `reuse lint` checks the rest of the REUSE rules.
import { readFileSync } from 'node:fs';
import { sourceFiles } from './sources.mjs';

const isSource =
  /\.(?:c|h|cc|S|map|proto|cmake|ts|js|mjs|py|sh|service|socket|postinst|prerm)$|(?:^|\/)CMakeLists\.txt$|^\.ci\/run$/;

// in two parts; otherwise `reuse lint` reads it as the license of this file
const tag = `SPDX-${'License-Identifier:'}`;

/** Tests that are compiled with a file of plugins-cuda/plugin carry its license. */
function licensesOf(path) {
  if (path.startsWith('plugins-cuda/plugin/')) return ['GPL-2.0-only'];
  return path.startsWith('plugins-cuda/test/') ? ['MIT', 'GPL-2.0-only'] : ['MIT'];
}

/** What is wrong with the header of a file; undefined if it is correct. */
export function headerProblem(path, text) {
  if (!isSource.test(path)) return undefined;
  if (text === '') return undefined; // Python's empty __init__.py
  const [first = '', second = ''] = text.split('\n', 2);
  const line = first.startsWith('#!') ? second : first;
  const at = line.indexOf(tag);
  const allowed = licensesOf(path);
  if (at === -1) return `${path}: the first line is not "${tag} ${allowed[0]}"`;
  const license = /^[\w.-]+/.exec(line.slice(at + tag.length).trim())?.[0];
  if (!allowed.includes(license)) return `${path}: the license is ${license}, not ${allowed.join(' or ')}`;
  return undefined;
}

if (import.meta.filename === process.argv[1]) {
  const problems = sourceFiles()
    .filter((path) => isSource.test(path))
    .map((path) => headerProblem(path, readFileSync(path, 'utf8')))
    .filter((problem) => problem !== undefined);
  for (const problem of problems) console.error(problem);
  if (problems.length > 0) process.exitCode = 1;
}
