"""trace.py: strace on a running process or thread: what it asks of the kernel, and a kernel that is
slow or fails."""

import os
import signal
import subprocess
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def traced(pid, *options, output="/dev/null", threads=True):
    """`strace options… -p pid` from the moment it has attached to the end of the block; *threads*: all
    of that process, else the one thread with that id. Must be over before the process ends: the leak
    check of a sanitizer build cannot work while it is traced."""
    tracer = subprocess.Popen(["strace", *(["-f"] if threads else []), *options, "-o", str(output), "-p", str(pid)],
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        first = tracer.stderr.readline()
        assert b"attached" in first, first
        yield
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.wait()
        tracer.stderr.close()


def thread_id(pid, name):
    """The thread of a process that has this name."""
    for task in os.listdir(f"/proc/{pid}/task"):
        if Path(f"/proc/{pid}/task/{task}/comm").read_text().strip() == name:
            return int(task)
    raise AssertionError(f"process {pid} has no thread {name}")
