"""A console for tests of the runner."""

from labkit.course.run.results import Console


class Recorder(Console):
    """A console that remembers."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)

    def status(self, line: str) -> None:
        pass
