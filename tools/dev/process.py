"""One background process of a stack: its pid file, its log, its start and its end.

A pid file holds the pid and the kernel's start time of that process, so that a number that was
given to another process meanwhile is not mistaken for ours, let alone killed.
"""

import os
import signal
import subprocess
import time
from pathlib import Path

POLL_S = 0.02  # between two looks at a process that is to end: short against what ending takes
LOG_TAIL_LINES = 15


def start_time(pid):
    """Start time of a live process in clock ticks since boot; None when it is gone or a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    fields = stat[stat.rindex(")") + 2:].split()
    return None if fields[0] in ("Z", "X") else fields[19]


def children(parent, program):
    """Pids of the parent's live children that run that program, oldest first."""
    found = []
    for folder in Path("/proc").iterdir():
        if parent is None or not folder.name.isdigit():
            continue
        try:
            stat = (folder / "stat").read_text(encoding="ascii", errors="replace")
            command = (folder / "cmdline").read_bytes().split(b"\0")[0].decode(errors="replace")
        except OSError:
            continue
        fields = stat[stat.rindex(")") + 2:].split()
        if int(fields[1]) == parent and fields[0] not in "ZX" and Path(command).name == program:
            found.append((int(fields[19]), int(folder.name)))
    return [pid for _, pid in sorted(found)]


class Process:
    def __init__(self, layout, name, index):
        self.name = name
        self.index = index
        self.log_path = layout.log_dir / (
            "postgres.log" if name == "postgres" else f"{name}-{index}.log")
        self._pid_path = layout.run_dir / f"{name}-{index}.pid"
        self._cwd = layout.run_dir
        self._child = None  # only in the ./dev that started it

    def __str__(self):
        return f"{self.name} {self.index}"

    def pid(self):
        """Its pid while it runs, else None."""
        if self._child is not None:
            self._child.poll()  # reaps it
        try:
            pid, started = self._pid_path.read_text(encoding="ascii").split()
        except (OSError, ValueError):
            return None
        return int(pid) if start_time(pid) == started else None

    def spawn(self, arguments, environment=None, **options):
        """Starts it in a session of its own: a Ctrl-C at ./dev run is not for it."""
        options.setdefault("cwd", self._cwd)
        with open(self.log_path, "ab") as log:
            self._child = None
            self._pid_path.unlink(missing_ok=True)
            try:
                self._child = subprocess.Popen(
                    [str(argument) for argument in arguments], stdin=subprocess.DEVNULL, stdout=log,
                    stderr=log, env=dict(os.environ, **(environment or {})), start_new_session=True,
                    **options)
            except OSError as error:
                log.write(f"could not start {arguments[0]}: {error}\n".encode())
                return
        started = start_time(self._child.pid)
        if started is not None:
            temporary = self._pid_path.with_suffix(".new")
            temporary.write_text(f"{self._child.pid} {started}\n", encoding="ascii")
            temporary.replace(self._pid_path)

    def ended_how(self):
        """"exit status 1", "signal 9" or, when another ./dev started it, nothing more precise."""
        status = self._child.poll() if self._child is not None else None
        if status is None:
            return "it has ended"
        return f"signal {-status}" if status < 0 else f"exit status {status}"

    def log_tail(self):
        try:
            with open(self.log_path, "rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - 16384))
                lines = log.read().decode("utf-8", "replace").splitlines()
        except OSError:
            return ""
        return "\n".join("    " + line for line in lines[-LOG_TAIL_LINES:])

    def end(self, steps):
        """Sends signals until it is gone: steps = ((signal, seconds to wait for its end), ...).
        Returns the signal that ended it, or None when it did not run."""
        for number, seconds in steps:
            pid = self.pid()
            if pid is None:
                return None
            try:
                os.kill(pid, number)
                os.kill(pid, signal.SIGCONT)  # a stopped process can't act on a signal
            except ProcessLookupError:
                return None
            deadline = time.monotonic() + seconds
            while self.pid() is not None and time.monotonic() < deadline:
                time.sleep(POLL_S)
            if self.pid() is None:
                self._pid_path.unlink(missing_ok=True)
                return number
        return None
