// SPDX-License-Identifier: MIT
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { addExamples } from '../../command-line/index.ts';
import { cdiDeviceName, cdiFile, cdiSpec, containerEdits, writeCdi } from '../../container/index.ts';
import { directoryProblem } from '../../directory.ts';
import { UsageError } from '../../errors.ts';
import { preloadable, type Preloadable } from '../../inspect/index.ts';
import type { Io } from '../../output.ts';

interface Flags {
  output?: string | undefined;
  write?: boolean | undefined;
  intercept: boolean;
  root?: string | undefined;
}

export function defineCdi(command: Command, io: Io): void {
  const generate = command
    .command('generate')
    .description('print the CDI file, or write it where container engines look for it')
    .option('--write', `write it to ${cdiFile}`)
    .option('--output <file>', 'write it to this file; engines read /etc/cdi and /var/run/cdi')
    .option('--no-intercept', 'leave out the interceptor, for variant stock')
    .option('--root <dir>', "an image's root: leave out the interceptor if its programs cannot have it")
    .action(({ output, write, intercept, root }: Flags) => {
      const problem = root === undefined ? undefined : directoryProblem(root);
      if (problem !== undefined) throw new UsageError(problem, 'pass the root directory of an image');
      const found: Preloadable = root === undefined || !intercept ? { ok: true } : preloadable(root);
      if (!found.ok) io.err(`the device is without the interceptor: in ${root ?? ''}, ${found.reason ?? ''}`);
      const spec = cdiSpec(containerEdits(intercept && found.ok));
      const path = output === undefined ? (write === true ? cdiFile : undefined) : resolve(output);
      if (path === undefined) {
        io.out(JSON.stringify(spec, null, 2));
        return;
      }
      writeCdi(path, spec);
      io.result({ file: path, device: cdiDeviceName }, () =>
        [
          `written: ${path}`,
          `podman run --device nvidia.com/gpu=all --device ${cdiDeviceName} …`,
          'for a podman without CDI: criu-cuda container create',
        ].join('\n'),
      );
    });
  addExamples(generate, 'criu-cuda cdi generate', 'criu-cuda cdi generate --write');
}
