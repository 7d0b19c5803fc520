// SPDX-License-Identifier: MIT
// `npm run campaign -- --minutes N`: runs test/campaign in namespaces of its own, where every process, mount
// and named socket is the campaign's. Whatever a cycle leaves is seen, and nothing outlives the campaign.
import { spawn, spawnSync } from 'node:child_process';
import { constants } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const namespaces = ['--mount', '--net', '--pid', '--fork', '--kill-child', '--mount-proc'];
const loader = join(root, 'scripts', 'typescript.mjs');
const main = join(root, 'test', 'campaign', 'main.ts');

if (process.getuid() !== 0) {
  console.error('the campaign needs root: it creates namespaces, and CRIU dumps processes of several users');
  process.exit(2);
}
// compiles, so that the campaign itself never loads the compiler: each fork would copy its pages
spawnSync(process.execPath, ['--import', loader, main, '--help'], { stdio: 'ignore' });
// CRIU needs the loopback interface
const start = ['sh', '-c', 'ip link set lo up && exec "$0" "$@"'];
const words = [...namespaces, ...start, process.execPath, '--import', loader, main, ...process.argv.slice(2)];
const child = spawn('unshare', words, { stdio: 'inherit' });
child.on('error', (error) => {
  console.error(`cannot run unshare: ${error.message}`);
  process.exit(2);
});
// unshare ignores other signals; with it, all of its namespace ends
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(name, () => child.kill('SIGKILL'));
child.on('exit', (code, signal) => {
  process.exitCode = code ?? 128 + constants.signals[signal];
});
