// SPDX-License-Identifier: MIT
import { CodedError, type CommandFacts, type ToolkitErrorOptions } from '../errors.ts';

/**
 * podman failed (`ERR_CONTAINER`), a container does not exist or is in the wrong state (`ERR_CONTAINER_STATE`), or it
 * could not be checkpointed or restored; `ERR_CONTAINER_IMPORT`: a tar file was refused before podman saw it.
 */
export class ContainerError extends CodedError<
  | 'ERR_CONTAINER'
  | 'ERR_CONTAINER_STATE'
  | 'ERR_CONTAINER_CHECKPOINT'
  | 'ERR_CONTAINER_RESTORE'
  | 'ERR_CONTAINER_IMPORT'
> {
  /** About the run of podman that failed; `undefined` when none did. */
  readonly facts: CommandFacts | undefined;

  constructor(
    code: ContainerError['code'],
    message: string,
    options: ToolkitErrorOptions & { facts?: CommandFacts | undefined } = {},
  ) {
    super(code, message, options);
    this.facts = options.facts;
  }
}
