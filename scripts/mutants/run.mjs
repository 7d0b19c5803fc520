// SPDX-License-Identifier: MIT
// Runs programs that may do anything: a mutant can kill the wrong process, or never end. Each gets its own PID
// namespace, which ends with everything that is left in it.
import { spawn, spawnSync } from 'node:child_process';

const namespace = ['--pid', '--fork', '--kill-child', '--mount-proc'];

/** @throws Error if namespaces are not available */
function findUnshare() {
  for (const rights of [[], ['--user', '--map-root-user']]) {
    const args = [...rights, ...namespace];
    if (spawnSync('unshare', [...args, 'true']).status === 0) return ['unshare', ...args];
  }
  throw new Error('cannot create a PID namespace: run as root, or allow user namespaces (see unshare(1))');
}

let unshare;

/**
 * Runs a program until it ends, or until the timeout.
 * @param options timeoutMs, env (added), show (output goes to the terminal instead of the result), contained (in a
 * PID namespace)
 * @returns { code, output }; code is 1 after a timeout
 */
export function run(file, args, { timeoutMs, env = {}, show = false, contained = false, cwd }) {
  if (contained) unshare ??= findUnshare();
  const [program, ...words] = [...(contained ? unshare : []), file, ...args];
  return new Promise((resolve, reject) => {
    const child = spawn(program, words, {
      detached: !show,
      cwd,
      stdio: ['ignore', ...(show ? ['inherit', 'inherit'] : ['pipe', 'pipe'])],
      env: { ...process.env, ...env },
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream?.on('data', (data) => (output += data));
    const timer = setTimeout(() => process.kill(show ? child.pid : -child.pid, 'SIGKILL'), timeoutMs);
    child.once('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
    child.once('close', (code) => {
      clearTimeout(timer);
      resolve({ code: code ?? 1, output });
    });
  });
}

/** The same for a program that must succeed. @throws Error with the end of its output */
export async function must(file, args, options) {
  const result = await run(file, args, options);
  if (result.code === 0) return result;
  throw new Error(`${[file, ...args].join(' ')} failed:\n${result.output.slice(-3000)}`);
}
