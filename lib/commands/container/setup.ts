// SPDX-License-Identifier: MIT
/** `container setup`: prepares this machine for checkpointing containers. */
import { resolve } from 'node:path';
import { findPluginDir } from '../../criu/index.ts';
import { parseSize } from '../../size.ts';
import { currentSystem } from '../../machine/index.ts';
import {
  planContainerSetup,
  undoContainerSetup,
  type ContainerSetupStep,
  type PathState,
} from '../../setup/containers/index.ts';
import type { Io } from '../../output.ts';
import { withProgress } from '../../progress.ts';
import type { ContainersFlags } from './setup-options.ts';

function lineOf(io: Io, what: string, state: PathState | 'made' | 'removed', byHand: string): string {
  const { green, yellow, dim } = io.colors;
  switch (state) {
    case 'done':
      return `${dim('already done')}   ${what}`;
    case 'free':
      return `${yellow('to do')}          ${what}`;
    case 'made':
      return `${green('made')}           ${what}`;
    case 'removed':
      return `${green('removed')}        ${what}`;
    case 'foreign':
      return `${yellow('left alone')}     ${what}\n               not created by criu-cuda; to do by hand: ${byHand}`;
  }
}

async function undo(io: Io): Promise<void> {
  const { removed, left } = await undoContainerSetup(currentSystem(io.signal));
  io.result({ removed, left }, () =>
    [
      ...removed.map((path) => lineOf(io, path, 'removed', '')),
      ...left.map((path) =>
        lineOf(io, `${path} has changed since setup`, 'foreign', 'remove it if it is not needed'),
      ),
      ...(removed.length + left.length === 0 ? ['there is nothing to undo'] : ['packages stay installed']),
    ].join('\n'),
  );
}

interface Done {
  step: ContainerSetupStep;
  state: PathState | 'made';
}

/** Shows every step, and runs those that are not done yet. */
export async function runContainersSetup(io: Io, flags: ContainersFlags): Promise<void> {
  if (flags.undo === true) {
    await undo(io);
    return;
  }
  const { variant, imageStore, hugePages, writeEnv } = flags;
  const steps = await planContainerSetup(currentSystem(io.signal), {
    libdir: findPluginDir(variant === undefined ? {} : { variant }),
    plainPodman: variant !== undefined,
    ...(imageStore === undefined ? {} : { store: { bytes: parseSize(imageStore), hugePages } }),
    ...(writeEnv === undefined ? {} : { envFile: resolve(writeEnv) }),
  });
  const done: Done[] = [];
  for (const step of steps) {
    if (step.state === 'free' && flags.dryRun !== true) {
      await withProgress(io, step.what, (report) => step.run(report));
      done.push({ step, state: 'made' });
    } else done.push({ step, state: step.state });
  }
  if (done.some(({ state }) => state === 'foreign')) io.exitCode = 2;
  io.result(
    done.map(({ step: { what, byHand }, state }) => ({
      what,
      state,
      ...(state === 'foreign' ? { byHand } : {}),
    })),
    () => done.map(({ step, state }) => lineOf(io, step.what, state, step.byHand)).join('\n'),
  );
}
