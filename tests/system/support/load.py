"""Three senders and two receivers under way while a test breaks something, and whether all went well."""
from contextlib import contextmanager

from .stream import PATIENCE_S, Receiver, Sender, check
from .waiting import wait_until


def raise_failures(threads):
    failures = [thread.failure for thread in threads if thread.failure]
    assert not failures, failures


@contextmanager
def load(stack, who):
    """Three senders, two receivers, both protocol versions. Checks everything at the end."""
    receivers = [Receiver(stack, who(f"receiver{version}"), version) for version in (4, 5)]
    users = [receiver.user for receiver in receivers]
    senders = [Sender(stack, who(f"sender{index}"), version, users)
               for index, version in enumerate((4, 5, 5))]
    everyone = receivers + senders
    try:
        for receiver in receivers:
            receiver.start()
        for receiver in receivers:
            assert receiver.ready.wait(PATIENCE_S), receiver.failure
        for sender in senders:
            sender.start()
        yield senders, receivers
        for sender in senders:
            sender.stopping.set()
        for sender in senders:
            sender.join(PATIENCE_S)
            assert not sender.is_alive() or sender.failure, f"{sender.user}: {sender.unacked} left"
        raise_failures(everyone)
        wait_until(lambda: all_arrived(senders, receivers) or any(r.failure for r in receivers),
                   Progress(senders, receivers), PATIENCE_S)
    finally:
        for thread in everyone:
            thread.stopping.set()
        for thread in everyone:
            if thread.ident:
                thread.join(PATIENCE_S)
    raise_failures(everyone)
    check(senders, receivers, stack.brokers)


def all_arrived(senders, receivers):
    return all(len({(name, number) for _, name, number, _, _ in list(receiver.arrivals)})
               >= sum(len(sender.sent_to(receiver.user)) for sender in senders)
               for receiver in receivers)


class Progress:
    """The text of a failure, made when there is one."""

    def __init__(self, senders, receivers):
        self.senders, self.receivers = senders, receivers

    def __str__(self):
        return ", ".join(f"{receiver.user} got {len(receiver.arrivals)} of "
                         f"{sum(len(s.sent_to(receiver.user)) for s in self.senders)}"
                         for receiver in self.receivers)


def progress(senders, receivers):
    """Waits until the load moves: every sender has new answers, every receiver new messages."""
    before = [sender.answers for sender in senders] + [len(r.arrivals) for r in receivers]

    def moved():
        raise_failures(senders + receivers)
        after = [sender.answers for sender in senders] + [len(r.arrivals) for r in receivers]
        return all(new > old for old, new in zip(before, after))

    wait_until(moved, "the load moves again", PATIENCE_S)
