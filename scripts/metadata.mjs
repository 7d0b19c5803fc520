// SPDX-License-Identifier: MIT
// The version, the date of the release, the maintainer and the address for reports are defined in package.json and
// CHANGELOG.md. This script
// compares all copies of them.
//   --write    writes the copies instead
//   --release  also fails for what must not be published: placeholders, changes outside of a dated section, and missing build results
import { existsSync, readFileSync, writeFileSync } from 'node:fs';

/** Reserved for names that must not exist (RFC 2606): the mark of a placeholder. */
const PLACEHOLDER = 'example.invalid';

/** Files of the package that are built, and not in the repository. */
const built = ['dist/cli.cjs', 'prebuilds/linux-x64/criu_cuda.node', 'prebuilds/linux-arm64/criu_cuda.node'];

/** Parses a changelog: its dated sections, newest first, and the text of its section "Unreleased". */
export function readChangelog(text) {
  const parts = text.split(/^## /m).slice(1);
  const unreleased = parts.find((part) => part.startsWith('Unreleased')) ?? '';
  const releases = parts.flatMap((part) => {
    const [, version, date] =
      /^\[?(\d+\.\d+\.\d+)\]? - (\d{4}-\d{2}-\d{2})$/m.exec(part.split('\n', 1)[0]) ?? [];
    return version === undefined ? [] : [{ version, date }];
  });
  return { releases, unreleased: unreleased.split('\n').slice(1).join('\n').trim() };
}

/** The content of debian/changelog, whose only entry refers to CHANGELOG.md. */
export function debianChangelog({ version, author }, date) {
  const day = new Date(`${date}T00:00:00Z`).toUTCString().replace('GMT', '+0000');
  return `criu-cuda-toolkit (${version}) unstable; urgency=medium\n\n  * See CHANGELOG.md.\n\n -- ${author}  ${day}\n`;
}

/** Every file that has copies, with the text that it should have. */
export function copies(manifest, date, read) {
  const { version, author, bugs } = manifest;
  const lock = JSON.parse(read('package-lock.json'));
  lock.version = version;
  lock.packages[''].version = version;
  return {
    'package-lock.json': `${JSON.stringify(lock, null, 2)}\n`,
    'plugins-cuda/VERSION': `${version}\n`,
    'debian/changelog': debianChangelog(manifest, date),
    'SECURITY.md': read('SECURITY.md').replace(/<[^<>\s]+@[^<>\s]+>/, `<${bugs.email}>`),
    'debian/control': read('debian/control').replace(/^Maintainer: .*$/m, `Maintainer: ${author}`),
  };
}

/** What prevents publishing, one line each. */
export function releaseProblems(manifest, changelog) {
  const problems = Object.entries(manifest)
    .filter(([, value]) => JSON.stringify(value).includes(PLACEHOLDER))
    .map(([field]) => `package.json: "${field}" is a placeholder (${PLACEHOLDER}); write the real one`);
  if (changelog.unreleased !== '') {
    problems.push('CHANGELOG.md: "Unreleased" is not empty; move its entries to a dated section');
  }
  const missing = built.filter((path) => !existsSync(path));
  for (const path of missing) problems.push(`${path} is not built: npm run build && npm run prebuilds`);
  return problems;
}

function main(words) {
  const read = (path) => readFileSync(path, 'utf8');
  const manifest = JSON.parse(read('package.json'));
  const changelog = readChangelog(read('CHANGELOG.md'));
  const [newest] = changelog.releases;
  if (newest?.version !== manifest.version) {
    console.error(`CHANGELOG.md: the newest section is not "## ${manifest.version} - YYYY-MM-DD"`);
    return 1;
  }
  const wrong = Object.entries(copies(manifest, newest.date, read)).filter(
    ([path, text]) => read(path) !== text,
  );
  if (words.includes('--write')) {
    for (const [path, text] of wrong) writeFileSync(path, text);
    return 0;
  }
  const problems = wrong.map(
    ([path]) => `${path} does not agree with package.json: node scripts/metadata.mjs --write`,
  );
  if (words.includes('--release')) problems.push(...releaseProblems(manifest, changelog));
  for (const problem of problems) console.error(problem);
  return problems.length === 0 ? 0 : 1;
}

if (import.meta.filename === process.argv[1]) process.exitCode = main(process.argv.slice(2));
