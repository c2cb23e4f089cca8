"""Which things are done: the lines that scripts/gpu-check reads, and Items.java writes for the other side."""

import json
import os
import sys

DONE_VARIABLE = "LATHE_GPU_CHECK_DONE"
RESTART = 76  # ends a process in which CUDA is lost: it is started again with what is left
MISSING = 69  # ends a process that can't run here; the last line of stderr says why


class Items:
    def __init__(self):
        self.done = set()
        if os.environ.get(DONE_VARIABLE):
            with open(os.environ[DONE_VARIABLE], encoding="utf-8") as file:
                self.done = set(file.read().splitlines())

    def run(self, key, body):
        """body() makes a row. What it raises is a finding, which its row says, and the next goes on."""
        if key in self.done:
            return
        emit({"begin": key})
        row, lost = body()
        emit(row)
        emit({"end": key})
        if lost:
            sys.exit(RESTART)


def emit(line):
    print(json.dumps(line), flush=True)


def loses_cuda(error):
    """Errors of a kernel stick to the process; memory that doesn't suffice doesn't."""
    text = str(error)
    return "CUDA error" in text and "out of memory" not in text
