// SPDX-License-Identifier: MIT
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { Option, type Command } from 'commander';
import { addExamples } from '../../command-line/index.ts';
import {
  addToRuncConfig,
  cdiDeviceName,
  cdiFile,
  cdiSpec,
  containerEdits,
  ctrFlags,
  currentLimitFlags,
  dockerFlags,
  editFormats,
  otherEnginesWarning,
  podManifest,
  runcPart,
  seccompFlags,
  shellWords,
  writeCdi,
  type ContainerEdits,
  type EditFormat,
} from '../../container/index.ts';
import { directoryProblem } from '../../directory.ts';
import { reasonOf } from '../../errno.ts';
import { UsageError } from '../../errors.ts';
import { preloadable, type Preloadable } from '../../inspect/index.ts';
import type { Io } from '../../output.ts';
import { showWarnings } from '../operation-options.ts';

interface Flags {
  format: EditFormat;
  output?: string | undefined;
  write?: boolean | undefined;
  config?: string | undefined;
  intercept: boolean;
  root?: string | undefined;
}

function checkFlags({ format, output, write, config, root }: Flags): void {
  if (format !== 'cdi' && (output !== undefined || write === true))
    throw new UsageError('--write and --output are for --format cdi', 'redirect the output instead');
  if (config !== undefined && format !== 'runc') throw new UsageError('--config is for --format runc');
  const problem = root === undefined ? undefined : directoryProblem(root);
  if (problem !== undefined) throw new UsageError(problem, 'pass the root directory of an image');
}

function readConfig(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new UsageError(`cannot read ${path}: ${reasonOf(error)}`, 'runc spec --bundle DIR writes one');
  }
}

/** Prints the edits for an engine without CDI. */
function print(io: Io, edits: ContainerEdits, format: Exclude<EditFormat, 'cdi'>, config?: string): void {
  switch (format) {
    case 'docker':
    case 'ctr': {
      const words =
        format === 'ctr' ? ctrFlags(edits) : dockerFlags(edits, [...currentLimitFlags(), ...seccompFlags()]);
      io.result(words, () => shellWords(words));
      break;
    }
    case 'runc': {
      const part =
        config === undefined ? runcPart(edits) : addToRuncConfig(readConfig(config), edits, config);
      io.out(JSON.stringify(part, null, 2));
      break;
    }
    case 'pod': {
      const manifest = podManifest(edits);
      io.result({ manifest }, () => manifest.trimEnd());
    }
  }
}

export function defineCdi(command: Command, io: Io): void {
  const generate = command
    .command('generate')
    .description('print the CDI file, or write it where engines look for it; or print the same for others')
    .addOption(
      new Option('--format <engine>', 'a CDI file, flags of docker or ctr run, a part of config.json, a pod')
        .choices(editFormats)
        .default('cdi'),
    )
    .option('--write', `write it to ${cdiFile}`)
    .option('--output <file>', 'write it to this file; engines read /etc/cdi and /var/run/cdi')
    .option('--config <file>', "with --format runc: a bundle's config.json, which is printed with the part")
    .option('--no-intercept', 'leave out the interceptor, for variant stock')
    .option('--root <dir>', "an image's root: leave out the interceptor if its programs cannot have it")
    .action((flags: Flags) => {
      const { format, output, write, config, intercept, root } = flags;
      checkFlags(flags);
      const found: Preloadable = root === undefined || !intercept ? { ok: true } : preloadable(root);
      if (!found.ok) io.err(`the device is without the interceptor: in ${root ?? ''}, ${found.reason ?? ''}`);
      const edits = containerEdits(intercept && found.ok);
      const warning = otherEnginesWarning();
      showWarnings(io, warning === undefined ? [] : [warning]);
      if (format !== 'cdi') {
        print(io, edits, format, config);
        return;
      }
      const spec = cdiSpec(edits);
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
  addExamples(
    generate,
    'criu-cuda cdi generate --write',
    'criu-cuda cdi generate --format docker',
    'criu-cuda cdi generate --format runc --config config.json',
  );
}
