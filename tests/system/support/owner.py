"""Whose each person is: common/owner.c once more, by its description in docs/wire.md."""
import xxhash

MASK = 2 ** 64 - 1


def _mix(number):
    number = (number ^ number >> 30) * 0xbf58476d1ce4e5b9 & MASK
    number = (number ^ number >> 27) * 0x94d049bb133111eb & MASK
    return number ^ number >> 31


def owner_of(user, brokers):
    """The name of the broker, of several, that serves the person."""
    hashed = xxhash.xxh64_intdigest(user)
    return max(sorted(brokers), key=lambda name: _mix(hashed ^ xxhash.xxh64_intdigest(name)))


class Deal:
    """deal("alice", 1) names a person of this test whom broker 1 of the stack serves, the same one
    at each call; without a broker, they take turns."""

    def __init__(self, who, brokers):
        self._who, self._brokers = who, [f"broker-{index}" for index in range(brokers)]
        self._people = {}

    def __call__(self, name, index=None):
        if name not in self._people:
            if index is None:
                index = len(self._people) % len(self._brokers)
            self._people[name] = next(
                person for person in (self._who(f"{name}{number}") for number in range(1000))
                if owner_of(person, self._brokers) == self._brokers[index])
        return self._people[name]
