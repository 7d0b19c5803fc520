// SPDX-License-Identifier: MIT
/**
 * Small files of a bundle.
 * @module
 */

const here = 'here=$(dirname "$(readlink -f "$0")")';

/** The bundle's libraries are for criu; programs of the machine that criu starts get them, too. */
export const criuWrapper = `#!/bin/sh
# CRIU with the libraries it was built with.
${here}
LD_LIBRARY_PATH=$here/../criu/lib\${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} exec "$here/../criu/criu" "$@"
`;

export const cliWrapper = `#!/bin/sh
# criu-cuda with this bundle's node, CRIU and plugins.
${here}
export CRIU_CUDA_CRIU="\${CRIU_CUDA_CRIU:-$here/criu}"
set -- "$here/node" "$here/../app/dist/cli.cjs" "$@"
start=$here/../app/plugins-cuda/build/bin/criu-cuda-start
case $3 in
restore | checkpoint) [ ! -x "$start" ] || set -- "$start" "$@" ;;
esac
exec "$@"
`;

/** What a bundle holds. */
export interface BundleFacts {
  /** Version of this package. */
  version: string;
  /** Version of Node. */
  node: string;
  /** Version of CRIU. */
  criu: string;
  /** Architecture, as `x64`. */
  arch: string;
  /** Version of the glibc that it was created with: it needs this one or a newer one. */
  glibc: string;
}

export function readme(facts: BundleFacts): string {
  return `criu-cuda-toolkit ${facts.version}

CRIU ${facts.criu}, the CUDA plugins, the interceptor, the pool daemon, the software CUDA driver, node ${facts.node}.
Runs from any directory on Linux ${facts.arch} with glibc ${facts.glibc} or newer and libstdc++;
nothing has to be compiled.

  bin/criu-cuda doctor     what this machine has and lacks
  bin/criu-cuda demo       a dump and a restore, every byte checked
  bin/criu-cuda selftest   on a GPU: verifies this project's claims on this machine
  bin/criu-cuda --help

app/packaging/systemd has units for the pool daemon; set the path in ExecStart.

app/docs has the documentation: app/docs/troubleshooting.md, for example. app/plugins-cuda/build/bin has
cuda-checkpoint; bin/criu-cuda install --cuda-checkpoint DIR puts it into PATH.

The licenses are in app/LICENSES and below app/node_modules; CRIU is GPL-2.0-only.
`;
}
