// SPDX-License-Identifier: MIT
// `npm run build:man [DIR]`: the man pages of the program and of each of its commands, into DIR, by default man.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const read = (name) => readFileSync(join(root, name), 'utf8');

/** Writes all pages. @returns their paths */
export async function writeManPages(dir) {
  const load = (name) =>
    import(pathToFileURL(join(root, 'dist', name)).href).catch((cause) => {
      throw new Error(`cannot load dist/${name}: npm run build:ts`, { cause });
    });
  const [{ createProgram }, { loadAllCommands }, { manPage, pageName }] = await Promise.all(
    ['program.js', 'commands/index.js', 'man/page.js'].map(load),
  );
  const program = createProgram({ out: () => undefined });
  await loadAllCommands(program);
  const { version } = JSON.parse(read('package.json'));
  const [, date = ''] = /^## \S+ - (\d{4}-\d{2}-\d{2})$/m.exec(read('CHANGELOG.md')) ?? [];
  rmSync(dir, { recursive: true, force: true });
  mkdirSync(dir, { recursive: true });
  return [program, ...program.commands.filter((one) => one.name() !== 'help')].map((command) => {
    const path = join(dir, `${pageName(command)}.1`);
    writeFileSync(path, manPage(command, { version, date }));
    return path;
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    const pages = await writeManPages(resolve(process.argv[2] ?? join(root, 'man')));
    console.log(`${pages.length} man pages`);
  } catch (error) {
    console.error(error.message);
    process.exitCode = 1;
  }
}
