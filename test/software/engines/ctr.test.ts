// SPDX-License-Identifier: MIT
import { describeEngine } from '../../helpers/engine/cases.ts';
import { Ctr } from '../../helpers/engine/ctr.ts';

// with containerd 1.6, the test of a damaged image hangs once the restore was tried; why is not known
describeEngine(Ctr, ['ctr', 'containerd', 'runc'], { canFail: false });
