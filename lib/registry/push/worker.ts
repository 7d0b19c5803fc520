// SPDX-License-Identifier: MIT
/** A thread of a push: it does one job after the other. @module */
import { parentPort } from 'node:worker_threads';
import { isWorthCompressing } from '../compression/sample.ts';
import type { Block } from '../format.ts';
import type { HttpSourceSpec } from '../fetch/http-source.ts';
import type { PlannedBlock } from './blocks.ts';
import type { SourcePiece } from './contents.ts';
import { marksOf, readAt } from './read.ts';
import { Uploader, type SentBlob } from './upload.ts';
import { describeBlock, writeBlock } from './write.ts';

/** A block of an images directory. */
interface BlockJob {
  dir: string;
  block: PlannedBlock;
}

/** What a thread does. */
export interface Jobs {
  mark: {
    job: { dir: string; pieces: Pick<SourcePiece, 'source' | 'from' | 'length'>[] };
    result: (bigint | undefined)[];
  };
  sample: { job: BlockJob; result: boolean };
  describe: { job: BlockJob; result: Block };
  write: { job: BlockJob & { path: string }; result: Block };
  upload: { job: { spec: HttpSourceSpec; blob: SentBlob }; result: boolean };
}

/** A job, for a thread. */
export type Order = { [Name in keyof Jobs]: { name: Name; job: Jobs[Name]['job'] } }[keyof Jobs];

/** What has become of it. */
export type Outcome =
  { result: Jobs[keyof Jobs]['result'] } | { error: { message: string; code: string | undefined } };

let uploader: Uploader | undefined;

async function work(order: Order): Promise<Jobs[keyof Jobs]['result']> {
  switch (order.name) {
    case 'mark':
      return marksOf(order.job.dir, order.job.pieces);
    case 'sample': {
      const { dir, block } = order.job;
      return isWorthCompressing(block.size, (at, length) => readAt({ dir, parts: block.parts }, at, length));
    }
    case 'describe':
      return describeBlock(order.job.dir, order.job.block);
    case 'write':
      return writeBlock(order.job.dir, order.job.block, order.job.path);
    case 'upload':
      uploader ??= new Uploader(order.job.spec);
      return uploader.send(order.job.blob);
  }
}

parentPort?.on('message', (order: Order) => {
  void work(order)
    .then(
      (result): Outcome => ({ result }),
      (error: unknown): Outcome => {
        const { message, code } = error as NodeJS.ErrnoException;
        return { error: { message, code } };
      },
    )
    .then((outcome) => parentPort?.postMessage(outcome));
});
