// SPDX-License-Identifier: MIT
// Bundles the command line: dist/cli.cjs, and dist/cli with one part for each command, loaded when it is used. Programs
// start faster this way than from the library's 200 modules, and as CommonJS, whose loader is ready when Node starts. Names
// are kept, so that stack traces can be read. dist/cli.js is for those who have started that file before.
import { chmodSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';

const root = fileURLToPath(new URL('..', import.meta.url));

/**
 * One file is opened faster than twenty. A group is a module with all that it imports: what starts every command, what
 * most commands need, and what checkpoint and restore share.
 */
const groups = [
  { name: 'start', test: /^\0|\/lib\/start\//, priority: 4 },
  { name: 'command-line', test: /\/lib\/command-line\.ts$/, priority: 3 },
  { name: 'system', test: /\/lib\/(?:settings|machine|process)\/index\.ts$/, priority: 2 },
  { name: 'operation', test: /\/lib\/commands\/process\/(?:checkpoint|restore)\.ts$/, priority: 1 },
];

/** Modules of Node that take long to load, and that most commands do not use. */
const heavy = new Set(
  [
    'child_process',
    'crypto',
    'fs/promises',
    'http',
    'https',
    'net',
    'readline',
    'stream/consumers',
    'stream/promises',
    'timers/promises',
    'tls',
    'worker_threads',
    'zlib',
  ].map((name) => `node:${name}`),
);

/** Something that becomes the module when a property of it is read. */
const lazily = (name) => `
const load = () => process.getBuiltinModule('${name}');
module.exports = new Proxy({}, {
  get: (_, key) => load()[key],
  has: (_, key) => key in load(),
  ownKeys: () => Reflect.ownKeys(load()),
  getOwnPropertyDescriptor: (_, key) => ({ value: load()[key], enumerable: true, configurable: true }),
});`;

/**
 * Takes Node's own modules from the process: an `import` of `node:fs` would read all its properties, among them those that
 * load streams and promises when they are read, which takes longer than the rest of the program's start.
 */
const builtins = {
  name: 'builtins',
  resolveId: {
    filter: { id: new RegExp(`^(?:node:)?(?:${builtinModules.join('|')})$`) },
    handler: (id) => `\0${id.startsWith('node:') ? id : `node:${id}`}`,
  },
  load: {
    filter: { id: /^\0node:/ },
    handler: (id) => ({
      code: heavy.has(id.slice(1))
        ? lazily(id.slice(1))
        : `module.exports = process.getBuiltinModule('${id.slice(1)}');`,
      moduleSideEffects: false,
    }),
  },
};

/**
 * The same text in ASCII: Node takes twice as long to read a file with other characters. In a string, an escape is the
 * same character.
 */
const inAscii = (text) =>
  text.replaceAll(
    /[^\x00-\x7f]/g, // eslint-disable-line no-control-regex
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );

/** The installed package that a module belongs to. */
function packageOf(id) {
  const [, dir] = /^(.*\/node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(id) ?? [];
  return dir;
}

/** What modules say about their license, for a package without a file that does. */
function notices(ids) {
  const heads = ids.map((id) => /^(?:\/\/.*\n)+/.exec(readFileSync(id, 'utf8'))?.[0]);
  return [...new Set(heads.filter((head) => head?.includes('Copyright')))].join('\n');
}

/** The licenses of the packages in the bundle, as their authors ask for. */
function thirdParty(ids) {
  const packages = new Set(ids.map(packageOf).filter((dir) => dir !== undefined));
  const texts = [...packages].sort().map((dir) => {
    const { name, version, license } = JSON.parse(readFileSync(join(dir, 'package.json'), 'utf8'));
    const file = readdirSync(dir).find((one) => /^licen[cs]e/i.test(one));
    const text =
      file === undefined
        ? notices(ids.filter((id) => packageOf(id) === dir))
        : readFileSync(join(dir, file), 'utf8');
    if (text === '') throw new Error(`${name} has no text of its license`);
    return `${name} ${version}, ${license.replace(/^\((.*)\)$/, '$1')}\n\n${text.trim()}\n`;
  });
  const head = 'dist/cli.cjs and the files in dist/cli contain parts of these packages.\n';
  return [head, ...texts].join(`\n${'-'.repeat(80)}\n\n`);
}

/** Bundles into `dist`, after the compiler has written the library there. */
export async function bundleProgram(dist = join(root, 'dist')) {
  const bundle = await rolldown({
    cwd: root,
    input: { cli: join(root, 'lib/cli.ts') },
    platform: 'node',
    plugins: [builtins],
    tsconfig: false,
    // every module is imported for what it exports
    treeshake: {
      moduleSideEffects: (id) => id.endsWith('/lib/cli.ts'),
    },
  });
  rmSync(join(dist, 'cli'), { recursive: true, force: true });
  const { output } = await bundle.write({
    dir: dist,
    format: 'cjs',
    entryFileNames: '[name].cjs',
    chunkFileNames: 'cli/[name]-[hash].cjs',
    codeSplitting: { groups },
    comments: false,
  });
  await bundle.close();
  for (const { fileName, code } of output) if (code) writeFileSync(join(dist, fileName), inAscii(code));
  const ids = output.flatMap((chunk) => (chunk.type === 'chunk' ? chunk.moduleIds : []));
  writeFileSync(join(dist, 'cli', 'THIRD-PARTY.txt'), thirdParty(ids));
  writeFileSync(
    join(dist, 'cli.js'),
    // REUSE-IgnoreStart
    "#!/usr/bin/env node\n// SPDX-License-Identifier: MIT\nimport './cli.cjs';\n",
    // REUSE-IgnoreEnd
  );
  for (const name of ['cli.cjs', 'cli.js']) chmodSync(join(dist, name), 0o755);
}

if (import.meta.filename === process.argv[1]) await bundleProgram();
