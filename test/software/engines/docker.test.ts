// SPDX-License-Identifier: MIT
import { describeEngine } from '../../helpers/engine/cases.ts';
import { Docker } from '../../helpers/engine/docker.ts';

describeEngine(Docker, ['docker', 'dockerd', 'runc']);
