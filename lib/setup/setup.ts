// SPDX-License-Identifier: MIT
/**
 * Setup: finds what is missing and installs it. A step runs only if it is not done yet, so a second setup does
 * nothing.
 * @module
 */
import { describeError, EnvironmentError, type Missing } from '../errors.ts';
import type { ProgressListener } from '../progress.ts';
import { buildCriu } from './criu-build.ts';
import { findMirrors } from './criu-source.ts';
import { type CriuInfo, findCriu, type FoundCriu, oldestCriu, type System } from '../machine/index.ts';
import {
  buildPackages,
  buildsHere,
  criuPackages,
  installCommand,
  installPackages,
  missingPackages,
} from './packages.ts';

/** What this machine has and lacks. */
export interface SetupState {
  /** Debian packages to install. */
  packages: string[];
  /** The CRIU programs that were found. */
  criu: FoundCriu;
  /** Everything that is missing, with its remedy. */
  missing: Missing[];
}

/** One thing to be done. */
export interface SetupStep {
  /** For people. */
  name: string;
  /** Whether it is done already. */
  isDone: boolean;
  /** Runs it. @throws `ToolkitError` when it fails */
  run(report: ProgressListener): Promise<void>;
}

function rejectedText(rejected: readonly (CriuInfo & { usable: false })[]): string {
  return rejected.map((info) => `${info.path}: ${info.reason}`).join('; ');
}

/** Why setup cannot provide a usable CRIU; `undefined` if it can. */
function criuObstacle(system: System, found: FoundCriu): Missing | undefined {
  const chosen = found.rejected.find((info) => info.origin === 'environment');
  if (chosen) {
    return {
      what: `CRIU_CUDA_CRIU is ${chosen.path}: ${chosen.reason}`,
      remedy: `unset it, or set it to CRIU ${oldestCriu} or newer`,
    };
  }
  const onHost = found.rejected.find((info) => info.remedy !== undefined);
  if (onHost?.remedy !== undefined) return { what: rejectedText([onHost]), remedy: onHost.remedy };
  if (!system.family.includes('debian') || findMirrors(system).length === 0) {
    return {
      what: `CRIU ${oldestCriu} or newer that passes \`criu check\`${found.rejected.length === 0 ? '' : ` (${rejectedText(found.rejected)})`}`,
      remedy:
        'install it so that `criu` is on PATH, or build it and set CRIU_CUDA_CRIU to the program; setup builds it only if apt has a Debian archive',
    };
  }
  return undefined;
}

function criuMissing(system: System, found: FoundCriu): Missing {
  const why = found.rejected.length === 0 ? '' : ` (${rejectedText(found.rejected)})`;
  return (
    criuObstacle(system, found) ?? {
      what: `CRIU ${oldestCriu} or newer that passes \`criu check\`${why}`,
      remedy:
        "run `criu-cuda setup` as root with network access; it builds CRIU from Debian's source package",
    }
  );
}

/**
 * Finds out what is missing; changes nothing.
 * @param builds whether something is to be built here besides CRIU
 */
export async function readSetupState(system: System, builds: boolean = buildsHere()): Promise<SetupState> {
  const criu = await findCriu(system);
  // CRIU, too, is built with the packages for our own parts
  const buildsCriu = criu.criu === undefined && (builds || criuObstacle(system, criu) === undefined);
  const wanted = buildsCriu ? [...buildPackages, ...criuPackages] : builds ? buildPackages : [];
  const packages = wanted.length === 0 ? [] : await missingPackages(system, wanted);
  const missing: Missing[] = [];
  if (packages.length > 0) {
    missing.push({ what: `packages ${packages.join(' ')}`, remedy: installCommand(packages) });
  }
  if (criu.criu === undefined) missing.push(criuMissing(system, criu));
  return { packages, criu, missing };
}

async function ensureCriu(system: System, report: ProgressListener): Promise<void> {
  try {
    await buildCriu(system, report);
  } catch (error) {
    system.signal?.throwIfAborted();
    throw new EnvironmentError(describeError(error), [
      criuMissing(system, { criu: undefined, rejected: [] }),
    ]);
  }
  const found = await findCriu(system);
  if (found.criu === undefined) {
    throw new EnvironmentError('the CRIU built here cannot be used', [
      {
        what: rejectedText(found.rejected),
        remedy:
          found.rejected.find(({ remedy }) => remedy !== undefined)?.remedy ??
          'see docs/troubleshooting.md, section CRIU',
      },
    ]);
  }
}

/**
 * The steps that make this machine ready.
 * @throws {@link EnvironmentError} listing what is missing, when this user or this system cannot install it
 */
export function planSetup(system: System, state: SetupState): SetupStep[] {
  const needsCriu = state.criu.criu === undefined;
  const obstacle = needsCriu ? criuObstacle(system, state.criu) : undefined;
  const cannotInstall = state.packages.length > 0 && !system.family.includes('debian');
  if (state.missing.length > 0 && (!system.isRoot || obstacle !== undefined || cannotInstall)) {
    const reason = !system.isRoot
      ? 'setup must run as root'
      : cannotInstall
        ? 'setup installs packages only on Debian'
        : 'setup cannot install everything';
    throw new EnvironmentError(`${reason}; missing:`, state.missing);
  }
  return [
    {
      name: `Debian packages${state.packages.length > 0 ? ` (${state.packages.length} missing)` : ''}`,
      isDone: state.packages.length === 0,
      run: (report) => installPackages(system, state.packages, report),
    },
    { name: 'CRIU', isDone: !needsCriu, run: (report) => ensureCriu(system, report) },
  ];
}
