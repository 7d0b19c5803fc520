# SPDX-License-Identifier: MIT
"""Runs a program on a terminal of its own, stops it by Ctrl-Z, continues it, and ends it by Ctrl-C.

Prints a line of JSON: the states of the process that was started and of that whose pid it prints first, at each step.
"""

import json
import os
import pty
import re
import select
import signal
import sys
import time


def state(pid):
    with open(f"/proc/{pid}/stat") as stat:
        return stat.read().rsplit(") ", 1)[1][0]


def wait_for_state(pid, wanted):
    """Stopping and continuing take effect when the process next runs."""
    while (state(pid) in "Tt") != wanted:
        time.sleep(0.01)
    return "stopped" if wanted else "running"


started, terminal = pty.fork()
if started == 0:
    os.execvp(sys.argv[1], sys.argv[1:])

text = ""
while not re.search(r"^program (\d+)\s", text, re.M):
    select.select([terminal], [], [])
    text += os.read(terminal, 4096).decode()
program = int(re.search(r"^program (\d+)\s", text, re.M).group(1))
result = {"same": program == started}

os.write(terminal, b"\x1a")
_, status = os.waitpid(started, os.WUNTRACED)
result["stopped"] = [os.WIFSTOPPED(status), wait_for_state(program, True)]
os.kill(started, signal.SIGCONT)
result["continued"] = wait_for_state(program, False)
os.write(terminal, b"\x03")
_, status = os.waitpid(started, 0)
result["exitCode"] = os.waitstatus_to_exitcode(status)
print(json.dumps(result))
