// SPDX-License-Identifier: MIT
/**
 * Completion for fish: one `complete` for each command, option and argument.
 * @module
 */
import { withDescendants, type CompletionCommand, type CompletionValue } from './model.ts';

const quote = (text: string): string => `'${text.replaceAll(/['\\]/g, '\\$&')}'`;

/** What makes the words for a value, and whether files are offered too. */
function valueArguments(value: CompletionValue): string {
  if (typeof value !== 'string') return `-x -a ${quote(value.join(' '))}`;
  return {
    pid: "-x -a '(__fish_complete_pids)'",
    container: '-x -a \'(podman ps --all --format "{{.Names}}" 2>/dev/null)\'',
    directory: "-x -a '(__fish_complete_directories)'",
    file: '-r -F',
    nothing: '-x',
  }[value];
}

const at = (path: string, operand?: number): string =>
  `-n ${quote(`__criu_cuda_at ${operand === undefined ? '' : `--operand ${operand} `}${path}`.trimEnd())}`;

function lines(command: CompletionCommand): string[] {
  const { path, commands, options, operands } = command;
  return [
    ...commands.flatMap(({ names, description }) =>
      names.map((name) => `complete -c criu-cuda ${at(path)} -f -a ${quote(name)} -d ${quote(description)}`),
    ),
    ...options.map(({ names, description, value }) => {
      const flags = names.map((name) =>
        name.startsWith('--') ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`,
      );
      const more = value === undefined ? '-f' : valueArguments(value);
      return `complete -c criu-cuda ${at(path)} ${flags.join(' ')} ${more} -d ${quote(description)}`;
    }),
    ...operands.map((value, index) => `complete -c criu-cuda ${at(path, index)} ${valueArguments(value)}`),
  ];
}

const functions = `
# The words that name a command, and how many words follow them.
function __criu_cuda_words
    set -l path
    set -l count 0
    set -l skip 0
    for word in (commandline -opc)[2..]
        if test $skip = 1
            set skip 0
        else if contains -- (string join ' ' -- $path $word) $__criu_cuda_valued
            set skip 1
        else if string match -q -- '-*' $word
            continue
        else if contains -- (string join ' ' -- $path $word) $__criu_cuda_commands
            set path $path $word
        else
            set count (math $count + 1)
        end
    end
    echo $count
    string join ' ' -- $path
end

# Whether the cursor is in a command with these words, or at an argument of it.
function __criu_cuda_at
    set -l words (__criu_cuda_words)
    if test "$argv[1]" = --operand
        test "$words[1]" = "$argv[2]"; or return 1
        set argv $argv[3..]
    end
    test "$words[2]" = "$argv"
end

complete -c criu-cuda -f`;

/** The script that fish loads. */
export function fishCompletion(program: CompletionCommand): string {
  const all = withDescendants(program);
  const below = all.flatMap(({ path, commands }) =>
    commands.flatMap(({ names }) => names.map((name) => `${path} ${name}`.trim())),
  );
  const valued = all.flatMap(({ path, options }) =>
    options
      .filter(({ value }) => value !== undefined)
      .flatMap(({ names }) => names.map((name) => `${path} ${name}`.trim())),
  );
  const list = (name: string, words: readonly string[]): string =>
    `set -g ${name} ${words.map(quote).join(' ')}`;
  return [
    '# Completion of criu-cuda for fish, written by `criu-cuda completion fish`.',
    list('__criu_cuda_commands', below),
    list('__criu_cuda_valued', valued),
    functions,
    ...all.flatMap(lines),
    '',
  ].join('\n');
}
