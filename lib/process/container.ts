// SPDX-License-Identifier: MIT
/**
 * The container of a process, as the path of its cgroup tells.
 * @module
 */

/** A container. */
export interface Container {
  /** What runs it. `kubernetes`: it belongs to a pod, and the path does not name its runtime. */
  engine: 'podman' | 'docker' | 'containerd' | 'cri-o' | 'kubernetes';
  /** 64 hexadecimal digits. */
  id: string;
  /** UID of the Kubernetes pod; `null` outside Kubernetes. */
  podUid: string | null;
}

const engines: readonly (readonly [RegExp, Container['engine']])[] = [
  [/(?:^|\/)libpod-([0-9a-f]{64})(?:\.scope)?(?:\/|$)/, 'podman'],
  [/(?:^|\/)docker[-/]([0-9a-f]{64})(?:\.scope)?(?:\/|$)/, 'docker'],
  [/(?:^|\/)(?:cri-containerd|nerdctl)-([0-9a-f]{64})(?:\.scope)?(?:\/|$)/, 'containerd'],
  [/(?:^|\/)crio-([0-9a-f]{64})(?:\.scope)?(?:\/|$)/, 'cri-o'],
  [/(?:^|\/)kubepods[^/]*\/(?:[^/]+\/)*([0-9a-f]{64})(?:\/|$)/, 'kubernetes'],
];

function podUidOf(path: string): string | null {
  const [, uid] =
    /(?:^|\/)(?:kubepods[^/]*-)?pod([0-9a-f]{8}[0-9a-f_-]{24,28})(?:\.slice)?(?:\/|$)/.exec(path) ?? [];
  return uid?.replaceAll('_', '-') ?? null; // systemd has no dashes in the name of a slice
}

/** Parses /proc/PID/cgroup, of either version. @returns `null` when no line names a container */
export function parseContainer(text: string): Container | null {
  for (const line of text.split('\n')) {
    const path = line.split(':').slice(2).join(':');
    for (const [pattern, engine] of engines) {
      const [, id] = pattern.exec(path) ?? [];
      if (id !== undefined) return { engine, id, podUid: podUidOf(path) };
    }
  }
  return null;
}
