"""./dev run: the stack in the foreground, and a line for each delivery."""

import os
import re
import time

import programs

LOOK_S = 0.1  # between two looks at the broker's log: at once to a person, nothing to a processor
DELIVERED = re.compile(r'^\S+T(?P<time>[0-9:.]+)Z info broker/0 msg="(?P<text>(?:delivered|alerted) [^"]*)"$')


def announce(stack):
    layout = stack.layout
    mqtt, mqtts, ws, wss = (layout.port(door) for door in ("mqtt", "mqtts", "ws", "wss"))
    print()
    for process, where in ((stack.postgres, f"127.0.0.1:{layout.port('postgres')}"),
                           (stack.apns, f"127.0.0.1:{layout.port('apns')}, Apple's door"),
                           (stack.broker, f"127.0.0.1:{layout.port('http')}, HTTP"),
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


def follow(stack, log_start):
    """Prints deliveries from the broker's log, and each end of a process, until nothing runs."""
    pids = {process: process.pid() for process in stack.processes()}
    with open(stack.broker.log_path, encoding="utf-8", errors="replace") as log:
        log.seek(log_start)
        rest = ""
        while any(pids.values()):
            chunk = log.read(65536)
            if chunk:
                *lines, rest = (rest + chunk).split("\n")
                for line in lines:
                    if match := DELIVERED.match(line):
                        print(match["time"], match["text"], flush=True)
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
