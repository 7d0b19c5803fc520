// SPDX-License-Identifier: MIT
// A reporter that writes what scripts/test.mjs sums up, to the file that CCR_VITEST_SUMMARY names: a list of files as in
// scripts/unsteady.mjs, with the reason of each skipped test, which vitest's own JSON lacks.
import { writeFileSync } from 'node:fs';

function skipReason(test) {
  const result = test.result();
  if (result.note) return result.note;
  return test.options.mode === 'todo' ? 'not written yet' : 'disabled in the file';
}

const failure = (name, errors) => ({ name, message: String(errors?.[0]?.message ?? 'no message') });

function summaryOf(module) {
  const file = { file: `${module.project.name} ${module.relativeModuleId}`, passed: 0, skipped: [] };
  const nameOf = ({ fullName }) => (fullName ? `${file.file} > ${fullName}` : file.file);
  // a file or a hook that fails outside of any test
  const outside = [module, ...module.children.allSuites()].filter((one) => one.errors().length > 0);
  const failures = outside.map((one) => failure(nameOf(one), one.errors()));
  for (const test of module.children.allTests()) {
    const { state, errors } = test.result();
    if (state === 'passed') file.passed += 1;
    else if (state === 'skipped') file.skipped.push(`${test.fullName}: ${skipReason(test)}`);
    else failures.push(failure(nameOf(test), errors));
  }
  return { ...file, failures };
}

export default class Summary {
  onTestRunEnd(modules, unhandledErrors) {
    const files = modules.map(summaryOf);
    if (unhandledErrors.length > 0)
      files.push({
        file: 'outside of all tests',
        passed: 0,
        skipped: [],
        failures: unhandledErrors.map((error) => failure('an error that nothing handled', [error])),
        isCertain: true,
      });
    writeFileSync(process.env.CCR_VITEST_SUMMARY, JSON.stringify(files));
  }
}
