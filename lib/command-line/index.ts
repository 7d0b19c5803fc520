// SPDX-License-Identifier: MIT
/**
 * What commands have in common: words that stand for options, required options, examples, errors that say where to
 * read on.
 * @module
 */
export { helpOfReached, isRequired, requiredOption, usageError } from './errors.ts';
export { addExamples, configureHelp } from './help.ts';
export { addOperands, imagesDirOperand, pidOperand, settleWords, withOptions } from './operands.ts';
export { addOldName, addOutput, type OutputOption } from './output.ts';
export { addEnvFile, withEnvFile } from './env-file.ts';
export { typedWords } from './typed-words.ts';
export { commandName, commandSpec, type Operand, type Rest } from './spec.ts';
