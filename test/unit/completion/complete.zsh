# SPDX-License-Identifier: MIT
# zsh -f complete.zsh SCRIPT FILE LINE: types LINE and a tab in a zsh that has sourced SCRIPT, and prints what the line is
# then. The inner zsh writes it to FILE. Completion works only in an interactive zsh with a terminal.
zmodload zsh/zpty
export SCRIPT=$1 OUT=$2
zpty inner zsh -f -i
zpty -w inner 'autoload -U compinit; compinit -D -u; source $SCRIPT
show() { print -r -- "$BUFFER" > $OUT.new; mv $OUT.new $OUT; print -n D""ONE }
zle -N show; bindkey "^X" show; bindkey "^I" complete-word; print RE""ADY'
while zpty -r inner line; do [[ $line == *READY* ]] && break; done
zpty -w -n inner "$3"$'\t\x18'
# reads until the line is written, and fails when the inner zsh ends before
while [[ ! -e $OUT ]] && zpty -r inner line '*DONE*'; do :; done
zpty -d inner
cat $OUT
