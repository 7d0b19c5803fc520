// SPDX-License-Identifier: MIT
import { describe, expect, it } from 'vitest';
import { parseContainer } from '../../../lib/process/index.ts';

const id = '0123456789abcdef'.repeat(4);
const pod = '11111111-2222-3333-4444-555555555555';
const slice = `kubepods-burstable-pod${pod.replaceAll('-', '_')}.slice`;

describe('the container of a process', () => {
  it.each([
    ['podman, systemd', `0::/machine.slice/libpod-${id}.scope/container`, 'podman', null],
    [
      'podman without root',
      `0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-${id}.scope`,
      'podman',
      null,
    ],
    ['podman, cgroupfs', `0::/libpod_parent/libpod-${id}`, 'podman', null],
    ['docker, systemd', `0::/system.slice/docker-${id}.scope`, 'docker', null],
    ['docker, version 1', `12:pids:/docker/${id}\n11:memory:/docker/${id}\n0::/`, 'docker', null],
    [
      'containerd of Kubernetes',
      `0::/kubepods.slice/kubepods-burstable.slice/${slice}/cri-containerd-${id}.scope`,
      'containerd',
      pod,
    ],
    ['nerdctl', `0::/system.slice/nerdctl-${id}.scope`, 'containerd', null],
    ['CRI-O', `0::/kubepods.slice/${slice}/crio-${id}.scope/container`, 'cri-o', pod],
    ['Kubernetes, cgroupfs', `5:devices:/kubepods/besteffort/pod${pod}/${id}`, 'kubernetes', pod],
  ])('is found: %s', (_, text, engine, podUid) => {
    expect(parseContainer(`${text}\n`)).toEqual({ engine, id, podUid });
  });

  it.each([
    ['a login', '0::/user.slice/user-1000.slice/session-3.scope'],
    ["podman's monitor", `0::/machine.slice/libpod-conmon-${id}.scope`],
    ['an id that is too short', '0::/system.slice/docker-0123456789ab.scope'],
    ['inside a container', '0::/'],
    ['nothing', ''],
  ])('is null: %s', (_, text) => {
    expect(parseContainer(text)).toBeNull();
  });
});
