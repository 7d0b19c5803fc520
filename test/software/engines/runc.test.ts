// SPDX-License-Identifier: MIT
import { describeEngine } from '../../helpers/engine/cases.ts';
import { Runc } from '../../helpers/engine/runc.ts';

describeEngine(Runc, ['runc']);
