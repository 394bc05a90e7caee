"""./dev run: the stack in the foreground, and a line for each delivery."""

import os
import re
import time

import programs

LOOK_S = 0.1  # between two looks at the broker's log: at once to a person, nothing to a processor
DELIVERED = re.compile(r'^\S+T(?P<time>[0-9:.]+)Z info broker/\d+ msg="(?P<text>(?:delivered|alerted) [^"]*)"$')


def announce(stack):
    layout = stack.layout
    mqtt, mqtts, ws, wss = (layout.port(door) for door in ("mqtt", "mqtts", "ws", "wss"))
    print()
    for process, where in ((stack.postgres, f"127.0.0.1:{layout.port('postgres')}"),
                           (stack.apns, f"127.0.0.1:{layout.port('apns')}, Apple's door"),
                           *((broker, f"127.0.0.1:{layout.port('http', broker.index)}, HTTP")
                             for broker in stack.brokers),
                           *((connector, f"127.0.0.1:{mqtt}, MQTT; {mqtts}, TLS; {ws}, WebSocket")
                             for connector in stack.connectors)):
        print(f"  {str(process):16} pid {process.pid():<8} {where:49} "
              f"{os.path.relpath(process.log_path)}")
    bob = programs.token(layout, "bob")
    alice = programs.token(layout, "alice")
    print(f"""
Tokens, good for a day:

  alice  {alice}
  bob    {bob}

Bob's phone, in a second terminal:

  mosquitto_sub -h 127.0.0.1 -p {mqtt} -i bob-phone -u bob -P {bob} -c -q 1 -t 'inbox/#' -v

A message from Alice, in a third:

  mosquitto_pub -h 127.0.0.1 -p {mqtt} -i alice-phone -u alice -P {alice} -q 1 -t to/u/bob -m hello

The same through TLS:

  mosquitto_pub -h localhost -p {mqtts} --cafile {os.path.relpath(layout.ca)} -i alice-phone -u alice -P {alice} -q 1 -t to/u/bob -m hello

Browsers: ws://127.0.0.1:{ws}/mqtt, or with TLS wss://localhost:{wss}/mqtt

Stop bob's, send again, start it again: the message has waited. What Apple was asked to show:
curl -s http://127.0.0.1:{layout.port('apns control')}/pushes
Deliveries follow; Ctrl-C stops everything.
""", flush=True)


class Logs:
    """The brokers' logs, from where they end now; one that does not exist yet, from its beginning."""

    def __init__(self, brokers):
        self._files = {}
        self._starts = {broker.log_path: broker.log_path.stat().st_size
                        if broker.log_path.exists() else 0 for broker in brokers}
        self._rest = dict.fromkeys(self._starts, "")

    def lines(self):
        """The whole lines that have come since the last time."""
        found = []
        for path, start in self._starts.items():
            if path not in self._files:
                if not path.exists():
                    continue
                # closed with the process: it follows them until the end
                self._files[path] = open(path, encoding="utf-8",  # pylint: disable=consider-using-with
                                         errors="replace")
                self._files[path].seek(start)
            *lines, self._rest[path] = (self._rest[path] + self._files[path].read(65536)).split("\n")
            found += lines
        return found


def follow(stack, logs):
    """Prints deliveries from brokers' logs, and each end of a process, until nothing runs."""
    pids = {process: process.pid() for process in stack.processes()}
    while any(pids.values()):
        lines = logs.lines()
        for line in lines:
            if match := DELIVERED.match(line):
                print(match["time"], match["text"], flush=True)
        if lines:
            continue
        for process, pid in pids.items():
            pids[process] = process.pid()
            if pid is not None and pids[process] is None:
                print(f"{process} (pid {pid}): {process.ended_how()}; "
                      f"to start it again: ./dev start {process}{stack.layout.var_option()}",
                      flush=True)
            elif pids[process] not in (None, pid):
                print(f"{process} runs again, pid {pids[process]}", flush=True)
        time.sleep(LOOK_S)
