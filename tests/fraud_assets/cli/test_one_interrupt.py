"""An interruption that a callback of the garbage collector loses."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import os, signal, time, weakref
from fraud_assets.cli.one_interrupt import interrupted, one_interrupt

class Dropped: ...

def lost(_):
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(0.1)

def failing(_):
    raise ValueError("a defect")

with one_interrupt():
    for callback in (failing, lost):
        dropped = Dropped()
        reference = weakref.ref(dropped, callback)
        del dropped
    print(interrupted())
"""


def test_an_interruption_in_a_callback_is_noticed_and_prints_no_traceback_of_its_own() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60)
    assert done.stdout == "True\n"
    assert "KeyboardInterrupt" not in done.stderr
    assert "ValueError: a defect" in done.stderr, "other errors are still shown"
