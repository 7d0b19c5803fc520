// SPDX-License-Identifier: MIT
import { describeEngine } from '../../helpers/engine/cases.ts';
import { Podman } from '../../helpers/engine/podman.ts';

describeEngine(Podman, ['podman', 'runc']);
