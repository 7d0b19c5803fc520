// SPDX-License-Identifier: MIT
// A reporter that writes a summary for scripts/test.mjs with the reason of each skipped test, which vitest's own JSON
// lacks: { passed, failed, skipped: ["name: reason"] }, to the file that CCR_VITEST_SUMMARY names.
import { writeFileSync } from 'node:fs';

function skipReason(test) {
  const result = test.result();
  if (result.note) return result.note;
  return test.options.mode === 'todo' ? 'not written yet' : 'disabled in the file';
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
