"""Ctrl-C, SIGTERM and SIGHUP as one exception, and a time when they must wait."""

import signal

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(BaseException):
    """Not an Exception: nothing that handles errors may swallow it."""


def on_signal(_number, _frame):
    ignore()  # whoever handles the first one stops processes, see there
    raise Interrupted


def catch():
    for number in SIGNALS:
        signal.signal(number, on_signal)


def ignore():
    """While processes are being stopped: a second Ctrl-C must not leave half of them behind."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
