"""The commands of ./dev, after everything is installed and built."""

import os
import shlex
import sys

import foreground
import interrupt
import lifecycle
import programs
import test_runner
from failure import Failure, UsageError
from layout import DEFAULTS, MAX_BROKERS, MAX_PORT_OFFSET, ROOT, Layout, build_dir
from lifecycle import Stack

MAX_CONNECTORS = 64  # far above what one machine's processors can feed


def number(option, text, least, most):
    if not (text.isascii() and text.isdigit() and least <= int(text) <= most):
        raise UsageError(f'{option} is "{text}", expected a number from {least} to {most}')
    return int(text)


def read_set(text):
    process, colon, rest = text.partition(":")
    if not colon or "=" not in rest or rest.startswith("="):
        raise UsageError(f'--set is "{text}", expected PROCESS:path=value')
    if process not in programs.PROGRAMS:
        raise UsageError(f'--set names the process "{process}", expected broker, connector or '
                         "apns-simulator")
    return text


def read_arguments(arguments, known):
    """Splits into options (a dictionary, only of what was given) and the other words."""
    options, words = {}, []
    arguments = list(arguments)
    while arguments:
        argument = arguments.pop(0)
        if not argument.startswith("-"):
            words.append(argument)
            continue
        name, equals, value = argument.partition("=")
        if name not in known:
            raise UsageError(f'unknown option "{name}"')
        if not equals:
            if not arguments:
                raise UsageError(f"{name} needs a value")
            value = arguments.pop(0)
        if name == "--set":
            options.setdefault("sets", []).append(read_set(value))
        elif name == "--var":
            if not value:
                raise UsageError("--var is empty")
            options["var"] = value
        elif name == "--port-offset":
            options["port_offset"] = number(name, value, 0, MAX_PORT_OFFSET)
        elif name == "--connectors":
            options["connectors"] = number(name, value, 1, MAX_CONNECTORS)
        elif name == "--brokers":
            options["brokers"] = number(name, value, 1, MAX_BROKERS)
    return options, words


def settings_of(options):
    settings = {**DEFAULTS, **options}
    return dict(settings, brokers=list(range(settings["brokers"])),
                connectors=list(range(settings["connectors"])))


def open_stack(options):
    """The stack that `up` and `run` start: with the options given or, when none is, last time's."""
    layout = Layout(options.pop("var", None))
    wanted = settings_of(options)
    running = layout.settings is not None and Stack(layout).running()
    if running and options and wanted != layout.settings:
        raise Failure(f"the stack in {layout.var} is up with other options; "
                      f"./dev down{layout.var_option()} first")
    if layout.settings is None or (options and not running):
        layout.create(wanted)
    return Stack(layout)


def existing_stack(options):
    layout = Layout(options.get("var"))
    layout.require()
    return Stack(layout)


def run(arguments):
    options, words = read_arguments(arguments, UP_OPTIONS)
    refuse_words(words)
    lifecycle.require_programs()
    stack = open_stack(options)
    if stack.running():
        raise Failure(f"the stack in {stack.layout.var} is up already; "
                      f"./dev down{stack.layout.var_option()} first")
    logs = foreground.Logs(stack.brokers)
    try:
        interrupt.catch()
        with stack.layout.locked():
            stack.up(["log.deliveries=true"])
        foreground.announce(stack)
        foreground.follow(stack, logs)
    except interrupt.Interrupted:
        print("\nstopping")
    finally:
        interrupt.ignore()
        with stack.layout.locked():
            stack.down()
    return 0


def up(arguments):
    options, words = read_arguments(arguments, UP_OPTIONS)
    refuse_words(words)
    lifecycle.require_programs()
    stack = open_stack(options)
    interrupt.catch()
    with stack.layout.locked():
        missing = [process for process in stack.processes() if process.pid() is None]
        already = len(missing) < len(stack.processes())
        if missing:
            stack.up()
    if already and not missing:
        print(f"the stack in {stack.layout.var} is up already")
    elif already:
        print(f"the stack in {stack.layout.var} was up; started {', '.join(map(str, missing))}")
    else:
        print(f"up in {stack.layout.var}: MQTT on 127.0.0.1:{stack.layout.port('mqtt')}")
    return 0


def down(arguments):
    options, words = read_arguments(arguments, VAR_ONLY)
    refuse_words(words)
    layout = Layout(options.get("var"))
    if layout.settings is None:
        print(f"there is no stack in {layout.var}")
        return 0
    with layout.locked():
        ended = Stack(layout).down()
    print(f"stopped {', '.join(map(str, ended))}" if ended
          else f"the stack in {layout.var} is down already")
    return 0


def wipe(arguments):
    options, words = read_arguments(arguments, VAR_ONLY)
    refuse_words(words)
    layout = Layout(options.get("var"))
    if layout.settings is None:
        print(f"there is no stack in {layout.var}")
        return 0
    with layout.locked():
        Stack(layout).down()
        lifecycle.wipe(layout)
    print(f"removed the stack in {layout.var}")
    return 0


def env(arguments):
    options, words = read_arguments(arguments, VAR_ONLY)
    refuse_words(words)
    for name, value in existing_stack(options).layout.environment().items():
        print(f"{name}={shlex.quote(value)}")
    return 0


def ps(arguments):
    options, words = read_arguments(arguments, VAR_ONLY)
    refuse_words(words)
    stack = existing_stack(options)
    for process in stack.processes():
        pid = process.pid()
        if pid is not None:
            print(process.name, process.index, pid)
    for index, pid in enumerate(stack.plugin_hosts()):
        print("plugin-host", index, pid)
    return 0


def named_process(words, stack):
    if len(words) != 2:
        raise UsageError("expected NAME INDEX")
    return stack.find(words[0], number("INDEX", words[1], 0, MAX_CONNECTORS - 1))


def start(arguments):
    options, words = read_arguments(arguments, VAR_ONLY)
    lifecycle.require_programs()
    layout = existing_stack(options).layout
    with layout.locked():
        stack = existing_stack(options)  # again: another ./dev may have added a connector meanwhile
        process = named_process(words, stack)
        if process.pid() is not None:
            print(f"{process} runs already, pid {process.pid()}")
            return 0
        stack.start_one(process)
    print(f"{process} is ready, pid {process.pid()}")
    return 0


def stop(arguments):
    options, words = read_arguments(arguments, VAR_ONLY)
    stack = existing_stack(options)
    process = named_process(words, stack)
    with stack.layout.locked():
        ran = lifecycle.end(process)
    print(f"{process} is stopped" if ran else f"{process} does not run")
    return 0


def ctl(arguments):
    arguments = list(arguments)
    options = {}
    if arguments and arguments[0].split("=", 1)[0] == "--var":
        taken = 1 if "=" in arguments[0] else 2
        options, _ = read_arguments(arguments[:taken], VAR_ONLY)
        del arguments[:taken]
    environment = dict(os.environ, **existing_stack(options).layout.environment())
    lifecycle.require_programs()
    program = build_dir() / "bin" / "beckonctl"
    os.execve(program, [str(program), *arguments], environment)


def test(arguments):
    options, words = read_arguments(arguments, ())
    return test_runner.run(words)


def bench(arguments):
    """Each benchmark is a program of its own in bench/NAME/; without a name it is peers."""
    names = arguments[:1] if arguments and not arguments[0].startswith("-") else ["peers"]
    program = ROOT / "bench" / names[0] / f"{names[0]}.py"
    if not program.exists():
        known = ", ".join(sorted(path.stem for path in (ROOT / "bench").glob("*/*.py")
                                 if path.stem == path.parent.name))
        raise UsageError(f'there is no benchmark "{names[0]}", expected {known}')
    rest = arguments[1:] if arguments[:1] == names else arguments
    os.execv("/usr/bin/python3", ["/usr/bin/python3", str(program), *rest])


def refuse_words(words):
    if words:
        raise UsageError(f'unexpected "{words[0]}"')


VAR_ONLY = ("--var",)
UP_OPTIONS = ("--var", "--port-offset", "--connectors", "--brokers", "--set")
COMMANDS = {function.__name__: function
            for function in (run, up, down, wipe, env, ps, start, stop, ctl, test, bench)}


def main():
    sys.stdout.reconfigure(line_buffering=True)
    try:
        return COMMANDS[sys.argv[1]](sys.argv[2:])
    except Failure as failure:
        print(f"./dev {sys.argv[1]}: {failure}", file=sys.stderr)
        return failure.status
    except (KeyboardInterrupt, interrupt.Interrupted):
        return 130


if __name__ == "__main__":
    sys.exit(main())
