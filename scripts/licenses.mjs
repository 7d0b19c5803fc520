// SPDX-License-Identifier: MIT
// The licenses of every package in package-lock.json: those that ship may be used under the terms of MIT programs; those
// that only build and test may also be weakly reciprocal.
import { readFileSync } from 'node:fs';

const permissive = ['0BSD', 'Apache-2.0', 'BlueOak-1.0.0', 'BSD-2-Clause', 'BSD-3-Clause', 'ISC', 'MIT'];
const development = [...permissive, 'MPL-2.0', 'Python-2.0'];

/** Whether an SPDX expression is satisfied by the allowed licenses. Where AND and OR are mixed, all must be allowed. */
export function isAllowed(expression, allowed) {
  const names = expression.split(/\s*\b(?:AND|OR)\b\s*|[()]/).filter((name) => name.trim() !== '');
  const isChoice = / OR /.test(expression) && !/ AND /.test(expression);
  return isChoice
    ? names.some((name) => allowed.includes(name.trim()))
    : names.every((name) => allowed.includes(name.trim()));
}

/** What is wrong with the licenses in a parsed package-lock.json, one line each. */
export function licenseProblems(lock) {
  return Object.entries(lock.packages)
    .filter(([path]) => path !== '')
    .flatMap(([path, { license = 'no license', dev = false }]) => {
      const name = path.replace(/^.*node_modules\//, '');
      const allowed = dev ? development : permissive;
      return isAllowed(license, allowed)
        ? []
        : [`${name}: ${license} is not on the list in scripts/licenses.mjs`];
    });
}

if (import.meta.filename === process.argv[1]) {
  const problems = licenseProblems(JSON.parse(readFileSync('package-lock.json', 'utf8')));
  for (const problem of problems) console.error(problem);
  if (problems.length > 0) process.exitCode = 1;
}
