"""The one exception of these tools: a message for the person who typed, and an exit status."""


class Failure(Exception):
    def __init__(self, text, status=1):
        super().__init__(text)
        self.status = status


class UsageError(Failure):
    def __init__(self, text):
        super().__init__(text + "; ./dev help", 2)
