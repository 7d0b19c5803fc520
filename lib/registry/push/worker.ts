// SPDX-License-Identifier: MIT
/** A thread of a push: it does one job after the other. @module */
import { parentPort } from 'node:worker_threads';
import type { Block } from '../format.ts';
import type { HttpSourceSpec } from '../fetch/http-source.ts';
import type { PlannedBlock } from './blocks.ts';
import type { SourcePiece } from './contents.ts';
import { Uploader, type FileBlob } from './upload.ts';
import { marksOf, writeBlock } from './write.ts';

/** What a thread does. */
export interface Jobs {
  mark: {
    job: { imagesDir: string; pieces: Pick<SourcePiece, 'source' | 'from' | 'length'>[] };
    result: (bigint | undefined)[];
  };
  write: { job: { imagesDir: string; block: PlannedBlock; path: string }; result: Block };
  upload: { job: { spec: HttpSourceSpec; blob: FileBlob }; result: boolean };
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
      return marksOf(order.job.imagesDir, order.job.pieces);
    case 'write':
      return writeBlock(order.job.imagesDir, order.job.block, order.job.path);
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
