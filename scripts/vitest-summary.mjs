// SPDX-License-Identifier: MIT
// A reporter that writes what scripts/test.mjs adds up, with the reason of each skipped test (vitest's own JSON leaves
// it out): { passed, failed, skipped: ["name: reason"] } into the file CCR_VITEST_SUMMARY names.
import { writeFileSync } from 'node:fs';

function skipReason(test) {
  const result = test.result();
  if (result.note) return result.note;
  return test.options.mode === 'todo' ? 'not written yet' : 'switched off in the file';
}

export default class Summary {
  onTestRunEnd(modules, unhandledErrors) {
    const summary = { passed: 0, failed: unhandledErrors.length, skipped: [] };
    for (const module of modules) {
      // a file or a hook that fails outside of any test
      summary.failed += module.errors().length;
      for (const suite of module.children.allSuites()) summary.failed += suite.errors().length;
      for (const test of module.children.allTests()) {
        const { state } = test.result();
        if (state === 'passed') summary.passed += 1;
        else if (state === 'skipped') summary.skipped.push(`${test.fullName}: ${skipReason(test)}`);
        else summary.failed += 1;
      }
    }
    writeFileSync(process.env.CCR_VITEST_SUMMARY, JSON.stringify(summary));
  }
}
