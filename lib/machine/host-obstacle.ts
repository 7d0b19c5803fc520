// SPDX-License-Identifier: MIT
/** What stops every criu on a machine, so that another one would not help. @module */

interface HostObstacle {
  /** What criu prints. */
  pattern: RegExp;
  /** What it means, and what to do. */
  remedy: string;
}

/** The root directory of a plain chroot is a directory of some mount; CRIU describes mounts from the root on. */
export const unmountedRoot: HostObstacle = {
  pattern: /No parent found for mountpoint|Can't find (?:the )?root mount/i,
  remedy:
    'the root directory is not a mount point, as after a plain chroot: run `mount --bind DIR DIR` on the new root first, or enter it with pivot_root',
};

/** CRIU tries its calls on connections to this machine. */
export const downLoopback: HostObstacle = {
  pattern: /Unable to connect a socket: Network is unreachable/,
  remedy: 'the loopback interface of this network namespace is down: ip link set lo up',
};

/** No criu works for this user. */
const fewRights: HostObstacle = {
  pattern: /needs to have the CAP_SYS_ADMIN or the CAP_CHECKPOINT_RESTORE/,
  remedy: 'run as root, or with CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE',
};

const obstacles: readonly HostObstacle[] = [unmountedRoot, downLoopback, fewRights];

/** The remedy for an error of criu that lies in the machine; `undefined` for all other errors. */
export function hostRemedy(text: string): string | undefined {
  return obstacles.find(({ pattern }) => pattern.test(text))?.remedy;
}
