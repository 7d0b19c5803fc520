// SPDX-License-Identifier: MIT
// One unsteady test must not cost a run of all of them, and must not be overlooked either: files with failures run once
// more, alone, and what failed only the first time is named. A run is a list of files (of ctest: programs), each
// { file, passed, skipped: ["name: reason"], failures: [{ name, message }], isCertain? }; isCertain is a failure that
// a second run does not excuse, such as the report of a sanitizer.

/** More files than these do not fail by chance. */
const MOST_FILES = 3;

const hasFailures = ({ failures }) => failures.length > 0;

/** Whether a run that ended with this exit status names what failed. */
export const isExplained = (status, run) => run.length > 0 && (status === 0 || run.some(hasFailures));

/** The files of a run that run again. */
export function filesToRepeat(run) {
  const failing = run.filter(hasFailures);
  const isHopeless = failing.length > MOST_FILES || failing.some(({ isCertain }) => isCertain);
  return isHopeless ? [] : failing.map(({ file }) => file);
}

/**
 * Sums up two runs. For a file that is in the second one, that one counts; a test of it that failed only in the first
 * one is unsteady, besides what the second one says of it.
 */
export function sumUp(first, second) {
  const sum = { passed: 0, failed: 0, skipped: [], unsteady: [] };
  const others = second.filter(({ file }) => !first.some((once) => once.file === file));
  for (const once of [...first, ...others]) {
    const again = second.find(({ file }) => file === once.file);
    const last = again ?? once;
    const failed = new Set(last.failures.map(({ name }) => name));
    sum.passed += last.passed;
    sum.failed += last.failures.length;
    sum.skipped.push(...last.skipped);
    sum.unsteady.push(...once.failures.filter(({ name }) => !failed.has(name)));
  }
  return sum;
}
