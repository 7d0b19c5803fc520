// SPDX-License-Identifier: MIT
import { describeEngine } from '../../helpers/engine/cases.ts';
import { Ctr } from '../../helpers/engine/ctr.ts';

describeEngine(Ctr, ['ctr', 'containerd', 'runc']);
