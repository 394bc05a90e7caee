#!/usr/bin/python3
"""Stands in for a program of Beckon in tests of ./dev itself: says it is ready, serves nothing.

`--set stand-in=WORD` makes it misbehave: `die` (ends at once), `deaf` (ignores SIGTERM).
"""

import os
import signal
import socket
import sys

NAME = os.path.basename(sys.argv[0])


def notify(text):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.sendto(text.encode(), "\0" + os.environ["NOTIFY_SOCKET"][1:])


def daemon():
    print(NAME, *sys.argv[1:], flush=True)
    if "stand-in=die" in sys.argv:
        print("the last words", flush=True)
        return 3
    if "stand-in=deaf" in sys.argv:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    notify("READY=1")
    if NAME == "beckon-connector":
        notify("X_BECKON_LINK=up\nSTATUS=linked")
    if "log.deliveries=true" in sys.argv:
        print('2026-05-01T12:00:00.123Z info broker/0 msg="delivered mid=1 to=bob"', flush=True)
    signal.pause()
    return 0


def beckonctl():
    print(sys.argv[1], os.environ.get("BECKON_DSN", ""), *sys.argv[2:])
    return 0


sys.exit(beckonctl() if NAME == "beckonctl" else daemon())
