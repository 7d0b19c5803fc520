// SPDX-License-Identifier: MIT
/**
 * Completion for bash: a table of commands, and functions that look up where the cursor is in it.
 * @module
 */
import { withDescendants, type CompletionCommand, type CompletionValue } from './model.ts';

const kindOf = (value: CompletionValue): string =>
  typeof value === 'string' ? value : `words:${value.join(',')}`;

/** One case of the table: the words of a command. */
function tableCase(command: CompletionCommand): string {
  const { path, commands, options, operands } = command;
  const valued = options.flatMap(({ names, value }) =>
    value === undefined ? [] : names.map((name) => `${name}=${kindOf(value)}`),
  );
  const quoted = (words: readonly string[]): string => `'${words.join(' ')}'`;
  return [
    `    '${path}')`,
    `      commands=${quoted(commands.flatMap(({ names }) => names))}`,
    `      options=${quoted(options.flatMap(({ names }) => names.filter((name) => name.startsWith('--'))))}`,
    `      valued=${quoted(valued)}`,
    `      operands=${quoted(operands.map(kindOf))}`,
    `      program=${command.runsProgram ? 1 : 0}`,
    '      ;;',
  ].join('\n');
}

const functions = `
# Completes a value of a kind that the table names.
_criu_cuda_value() {
  local IFS=$'\\n'
  case $1 in
    pid) COMPREPLY=($(compgen -W "$(cd /proc && printf '%s\\n' [0-9]*)" -- "$2")) ;;
    container) COMPREPLY=($(compgen -W "$(podman ps --all --format '{{.Names}}' 2>/dev/null)" -- "$2")) ;;
    directory) compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -A directory -- "$2")) ;;
    file) compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -A file -- "$2")) ;;
    words:*) COMPREPLY=($(IFS=, ; compgen -W "\${1#words:}" -- "$2")) ;;
  esac
}

# The kind of the value of an option; fails for an option without one.
_criu_cuda_kind() {
  local one
  for one in $valued; do
    if [[ $one == "$1="* ]]; then
      printf '%s' "\${one#*=}"
      return 0
    fi
  done
  return 1
}

_criu_cuda() {
  local cur=\${COMP_WORDS[COMP_CWORD]} commands options valued operands program
  local path='' option='' word kind i count=0
  COMPREPLY=()
  _criu_cuda_table ''
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=\${COMP_WORDS[i]}
    if [[ -n $option ]]; then
      # readline has = as a word of its own
      [[ $word == = ]] || option=''
    elif [[ $word == -- ]]; then
      if ((program)); then
        compopt -o default 2>/dev/null
        ((i == COMP_CWORD - 1)) && COMPREPLY=($(compgen -A command -- "$cur"))
      fi
      return
    elif [[ $word == -* ]]; then
      _criu_cuda_kind "$word" >/dev/null && option=$word
    elif [[ " $commands " == *" $word "* ]]; then
      path="\${path:+$path }$word"
      _criu_cuda_table "$path"
    else
      count=$((count + 1))
    fi
  done
  [[ $cur == = ]] && cur=''
  if [[ -n $option ]]; then
    kind=$(_criu_cuda_kind "$option") && _criu_cuda_value "$kind" "$cur"
  elif [[ $cur == -* ]]; then
    COMPREPLY=($(compgen -W "$options" -- "$cur"))
  elif [[ -n $commands ]]; then
    COMPREPLY=($(compgen -W "$commands" -- "$cur"))
  else
    local kinds=($operands)
    [[ -n \${kinds[count]:-} ]] && _criu_cuda_value "\${kinds[count]}" "$cur"
  fi
}

complete -F _criu_cuda criu-cuda`;

/** The script that bash sources. */
export function bashCompletion(program: CompletionCommand): string {
  return [
    '# Completion of criu-cuda for bash, written by `criu-cuda completion bash`.',
    '',
    '# Sets what is known about the command with these words.',
    '_criu_cuda_table() {',
    '  case $1 in',
    ...withDescendants(program).flatMap((command) => tableCase(command)),
    '  esac',
    '}',
    functions,
    '',
  ].join('\n');
}
