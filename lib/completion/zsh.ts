// SPDX-License-Identifier: MIT
/**
 * Completion for zsh: a function per command, for `_arguments`.
 * @module
 */
import { withDescendants, type CompletionCommand, type CompletionValue } from './model.ts';

const quote = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;

/** In an explanation of an option, and in a list for `_describe`. */
const escaped = (text: string): string => text.replaceAll(/[\\[\]:]/g, '\\$&');

const actions = {
  pid: '_criu_cuda_pids',
  container: '_criu_cuda_containers',
  directory: '_files -/',
  file: '_files',
  nothing: ' ',
} as const;

const actionOf = (value: CompletionValue): string =>
  typeof value === 'string' ? actions[value] : `(${value.join(' ')})`;

const functionOf = (path: string): string =>
  `_criu_cuda${path === '' ? '' : `_${path.replaceAll(/\W/g, '_')}`}`;

function optionSpecs({ options }: CompletionCommand): string[] {
  return options.flatMap(({ names, description, value }) => {
    const excluded = `(${names.join(' ')})`;
    return names.map((name) => {
      const equals = value !== undefined && name.startsWith('--') ? '=' : '';
      const what = value === undefined ? '' : `:value:${actionOf(value)}`;
      return quote(`${excluded}${name}${equals}[${escaped(description)}]${what}`);
    });
  });
}

function operandSpecs({ operands, runsProgram }: CompletionCommand): string[] {
  return [
    ...operands.map((value, index) => quote(`${index + 1}:value:${actionOf(value)}`)),
    ...(runsProgram ? [quote('(-)*:program:_files')] : []),
  ];
}

function leafFunction(command: CompletionCommand): string {
  const specs = [...optionSpecs(command), ...operandSpecs(command)];
  return [`${functionOf(command.path)}() {`, `  _arguments ${specs.join(' \\\n    ')}`, '}'].join('\n');
}

function groupFunction(command: CompletionCommand): string {
  const { path, commands } = command;
  const described = commands.flatMap(({ names, description }) =>
    names.map((name) => quote(`${escaped(name)}:${description}`)),
  );
  const cases = commands.map(
    ({ names, path: below }) => `        ${names.join('|')}) ${functionOf(below)} ;;`,
  );
  return [
    `${functionOf(path)}() {`,
    '  local curcontext="$curcontext" context state state_descr line',
    '  typeset -A opt_args',
    `  local -a commands=(\n    ${described.join('\n    ')}\n  )`,
    `  _arguments -C ${[...optionSpecs(command), "'1: :->command'", "'*:: :->rest'"].join(' \\\n    ')}`,
    '  case $state in',
    "    command) _describe 'command' commands ;;",
    '    rest)',
    '      case $words[1] in',
    ...cases,
    '      esac',
    '      ;;',
    '  esac',
    '}',
  ].join('\n');
}

/** The script that zsh loads from its `fpath`, or sources. */
export function zshCompletion(program: CompletionCommand): string {
  return [
    '#compdef criu-cuda',
    '# Completion of criu-cuda for zsh, written by `criu-cuda completion zsh`.',
    '',
    '_criu_cuda_pids() {\n  local -a pids=(/proc/<->(N:t))\n  compadd -a pids\n}',
    '_criu_cuda_containers() {\n  local -a names=(${(f)"$(podman ps --all --format \'{{.Names}}\' 2>/dev/null)"})\n  compadd -a names\n}',
    ...withDescendants(program).map((one) =>
      one.commands.length === 0 ? leafFunction(one) : groupFunction(one),
    ),
    '# loaded from fpath, this file is the function; sourced, it defines it',
    'if [[ $zsh_eval_context[-1] == loadautofunc ]]; then\n  _criu_cuda "$@"\nelse\n  compdef _criu_cuda criu-cuda\nfi',
    '',
  ].join('\n');
}
