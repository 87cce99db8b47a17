"""Signals at random moments: to a process of its own, or to this one while it is at work."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

_SCRIPT = """
import sys
from ebmdiag_trainers.sampling import recording
recording.SAVE_SECONDS = {seconds}
from ebmdiag.cli.main import run
run(sys.argv[1:])
"""


def started(arguments, seconds):
    """A process of ``ebmdiag`` on one thread, which saves its chains' place every so many seconds."""
    return subprocess.Popen(
        [sys.executable, "-c", _SCRIPT.format(seconds=seconds), *arguments],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_until(condition, process):
    """Until it holds; at most a minute, and as long as the process lives."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError(process.stderr.read() if process.poll() is not None else "nothing happened within a minute")


@contextmanager
def sent_when(condition, number, most=0.2):
    """A signal to this very process, up to ``most`` seconds after the condition holds; none after the context.

    One that comes when nobody listens is lost, and does not end the tests.
    """
    over, sent = threading.Event(), []

    def send():
        while not condition():
            if over.wait(0.005):
                return
        if not over.wait(random.Random(int(number)).uniform(0, most)):
            sent.append(number)
            os.kill(os.getpid(), number)

    before = signal.signal(number, lambda *_: None)
    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield sent
    finally:
        over.set()
        thread.join()
        signal.signal(number, before)
