"""Ctrl-C and kill: the first one ends the command, whatever it interrupts; the second one ends the process at once.

A signal is heard between any two steps of Python. The exception that its handler raises is lost where nobody is there to take it:
in a callback of a C library, while a weak reference dies, in an import that takes every exception for its own. So the handler
also remembers, and whoever goes on for long asks `check` before he does. Imports nothing heavy: it listens before the rest loads.
"""

from __future__ import annotations

import os
import signal
import sys

heard: list[int] = []  # the numbers of the signals so far


def listen() -> None:
    """From now on leave by an exception at Ctrl-C and kill, so that whatever is half done is taken back."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _hear)


def check() -> None:
    """Leave if a signal was heard and its exception was lost on the way."""
    if heard:
        sys.exit(128 + heard[0])


def die(number: int) -> None:
    """End this process by a signal, as if nobody listened to it."""
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def _hear(number: int, _: object) -> None:
    if heard:
        die(number)
    heard.append(number)
    os.write(2, b"riskbed: interrupted, no run folder was left\n")  # a print could be what was interrupted
    sys.exit(128 + number)
