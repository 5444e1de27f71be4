"""The kernel's side of a graded conversation: calls the functions of the notebook that it is asked to call.

There is nothing secret in it, and nothing that it says is believed: it only carries values (see
`labkit.course.grade.talk.protocol.exchange`). The other side says which function, and with which arguments.
"""

from collections.abc import Callable
from typing import Any

from labkit.course.grade.talk.protocol.exchange import Side
from labkit.course.grade.talk.protocol.wire import Decoder, dumps


class Answering(Side):
    """The side where the student's functions are."""

    def __init__(self, functions: dict[str, Any], send: Callable[[str], str]) -> None:
        super().__init__("k", send, watches=True)
        self.functions = functions

    def run(self) -> None:
        """Say that all is ready, then answer until the other side has no more questions."""
        message = self.take(self.send(dumps({"ready": True})))
        while message.get("do") != "end":
            message = self.take(self.send(self.reply(message)))

    def hooks(self) -> dict[str, Decoder]:
        """See `Side.hooks`; the other side names the student's functions."""
        return {**super().hooks(), "named": self._named}

    def _named(self, name: str) -> Any:
        if name not in self.functions:
            raise NameError(f"name {name!r} is not defined")
        return self.functions[name]

    def answer(self, message: dict[str, Any]) -> dict[str, Any]:
        """See `Side.answer`; a name that is missing is an answer too."""
        try:
            return super().answer(message)
        except NameError as error:
            return {"raise": self._described(error)}


def serve(functions: dict[str, Any], kernel: Any) -> None:
    """Hold a conversation over a Jupyter kernel's input requests; returns when the other side ends it.

    Args:
        functions: name → function.
        kernel: the ipykernel that runs this; what the student's code itself asks by `input` is refused.
    """

    def send(text: str) -> str:
        kernel._allow_stdin = True
        try:
            return kernel.raw_input(text)
        finally:
            kernel._allow_stdin = False

    Answering(functions, send).run()
