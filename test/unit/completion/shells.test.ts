// SPDX-License-Identifier: MIT
/** The scripts complete command lines in the shells themselves, not in an imitation. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, type TestContext } from 'vitest';
import { shells, type Shell } from '../../../lib/completion/index.ts';
import { exec } from '../../../lib/exec.ts';
import { findOnPath } from '../../../lib/machine/index.ts';
import { projectRoot } from '../../../lib/paths.ts';
import { main } from '../../../lib/program.ts';
import { pluginVariants } from '../../../lib/variant.ts';
import { captureIo } from '../cli/capture.ts';

let dir: string;
beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'ccr-completion-'));
  for (const shell of shells) {
    const { io, stdout } = captureIo();
    expect(await main(['completion', shell], io)).toBe(0);
    writeFileSync(join(dir, shell), stdout());
  }
  writeFileSync(join(dir, 'only.so'), '');
});
afterAll(() => {
  rmSync(dir, { recursive: true, force: true });
});

const zshDriver = join(projectRoot, 'test', 'unit', 'completion', 'complete.zsh');
const bashDriver = `source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _criu_cuda; printf '%s\\n' "\${COMPREPLY[@]}"`;

/** What a shell offers for the last word; zsh: the only word that fits, in its place. */
const complete: Record<Shell, (line: string) => Promise<string[]>> = {
  bash: async (line) =>
    (
      await exec('bash', ['-c', bashDriver, join(dir, 'bash'), ...line.split(' ')], { cwd: dir })
    ).stdout.split('\n'),
  fish: async (line) => {
    const script = `source ${join(dir, 'fish')}; complete -C '${line}'`;
    const { stdout } = await exec('fish', ['-c', script], { cwd: dir, env: { HOME: dir } });
    return stdout.split('\n').map((one) => one.split('\t')[0] ?? '');
  },
  zsh: async (line) => {
    const out = join(dir, 'line');
    rmSync(out, { force: true });
    const { stdout } = await exec('zsh', ['-f', zshDriver, join(dir, 'zsh'), out, line], { cwd: dir });
    return [stdout.trim().split(' ').at(-1) ?? ''];
  },
};

function needs(context: TestContext, shell: Shell): void {
  if (findOnPath(shell, process.env.PATH) === undefined)
    context.skip(`${shell} is not installed: apt-get install ${shell}`);
}

describe.each(shells)('%s', (shell) => {
  it.for([
    ['criu-cuda checkp', 'checkpoint'],
    ['criu-cuda pool prefe', 'prefetch'],
    ['criu-cuda checkpoint --leave-r', '--leave-running'],
    ['criu-cuda checkpoint --variant para', 'parallel'],
    ['criu-cuda --json pool metr', 'metrics'],
    ['criu-cuda container create --gpu devi', 'devices'],
    ['criu-cuda pool golden /tmp of', 'off'],
    ['criu-cuda completion fi', 'fish'],
    ['criu-cuda inspect onl', 'only.so'],
    ['criu-cuda help contai', 'container'],
  ])('completes "%s" to %s', { timeout: 30_000 }, async ([line = '', word = ''], context) => {
    needs(context, shell);
    expect(await complete[shell](line)).toEqual([word]);
  });
});

describe('bash', () => {
  it('offers all commands of a group, and all variants', async () => {
    expect(await complete.bash('criu-cuda pool ')).toEqual([
      ...['start', 'stop', 'status', 'list', 'prefetch', 'drop', 'golden', 'metrics'],
    ]);
    expect(await complete.bash('criu-cuda restore --variant ')).toEqual([...pluginVariants]);
  });

  it('offers processes for a pid, and directories after it', async () => {
    expect(await complete.bash(`criu-cuda stop ${process.pid}`)).toContain(String(process.pid));
    expect(await complete.bash(`criu-cuda checkpoint ${process.pid} /tm`)).toEqual(['/tmp']);
    expect(await complete.bash(`criu-cuda checkpoint --pid ${process.pid} --images-dir /tm`)).toEqual([
      '/tmp',
    ]);
  });

  it('leaves hidden and unknown words out', async () => {
    expect(await complete.bash('criu-cuda bundle --out')).toEqual(['--output']);
    expect(await complete.bash('criu-cuda setup --cont')).toEqual(['']);
    expect(await complete.bash('criu-cuda nothing --')).not.toContain('--pid');
  });

  it('offers programs after --', async () => {
    expect(await complete.bash('criu-cuda run -- bas')).toContain('bash');
    expect(await complete.bash('criu-cuda checkpoint 1 /tmp -- --le')).toEqual(['']);
  });
});
