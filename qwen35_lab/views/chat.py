"""The chat: talk to a model, in this process or behind an address, with its thoughts in a lane of their own.

What happens is in `serving.Dialogue`; here it is shown. An answer is written by a thread, so that the stop button is
heard while it goes on. The browser is sent the whole conversation, as text, a few times a second.
"""

import json
import threading
import time
from collections.abc import Iterable, Mapping
from typing import Any

import traitlets

from ..agents import Budget, Toolbox, looped
from ..agents.toolbox import Given
from ..errors import InputError
from ..serving.dialogue import Backend, Dialogue, Turn, once
from . import theme
from .chat_png import draw
from .widget import LabWidget, css, esm
from .words import listed, short

EVERY = 0.06  # seconds between two pictures of an answer that is being written
THINKING = {"as the model likes": None, "on": True, "off": False}
ENDS = {"stopped": "stopped here", "broken": "broken off", "length": "at the limit of tokens"}


class Chat(LabWidget):
    """The widget. `view` is the conversation, as JSON; `backend` and `thinking` are places of its controls."""

    TITLE = "Chat"
    _esm = esm("kit", "controls", "chat")
    _css = css("kit", "controls", "chat")
    payload = traitlets.Unicode().tag(sync=True)
    view = traitlets.Unicode("").tag(sync=True)
    backend = traitlets.Int(0).tag(sync=True)
    thinking = traitlets.Int(0).tag(sync=True)
    ask = traitlets.Unicode("").tag(sync=True)  # what the browser wants: {count, what, …}

    def __init__(self, dialogue: Dialogue, caption: str, **at: int):
        self._dialogue, self._caption, self._said, self._shown = dialogue, caption, 0, 0.0
        dialogue.changed = self._changed
        names = list(dialogue.backends)
        kinds = [theme.kind_of(dialogue.provenance(name)) for name in names]
        data = {
            "backends": [
                {"name": n, "badge": kind, "provenance": dialogue.provenance(n), "sees": dialogue.sees(n)}
                for n, kind in zip(names, kinds)
            ],
            "thinking": list(THINKING), "caption": caption,
        }  # fmt: skip
        super().__init__(payload=json.dumps({**self.head(), **data}), **at)
        self.on_msg(lambda widget, content, buffers: widget.send({"ready": True}))  # see deck._greet
        self._publish()

    @property
    def turns(self) -> list[Turn]:
        """What was said so far."""
        return list(self._dialogue.turns)

    @property
    def busy(self) -> bool:
        return self._dialogue.busy

    @property
    def error(self) -> str:
        """What went wrong last, if it did."""
        return self._dialogue.error

    def say(self, text: str) -> Turn:
        """Ask from Python, wait, and return the answer. Raises InputError while another one is being written."""
        self._choose()
        if not self._dialogue.say(text):
            raise InputError("An answer is still being written; stop it, or wait.")
        return self._dialogue.turns[-1]

    def stop(self) -> None:
        """What the stop button does."""
        self._dialogue.stop()

    def caption(self) -> str:
        return self._caption

    def provenance(self) -> str:
        return self._dialogue.provenance(list(self._dialogue.backends)[self.backend])

    def alt(self) -> str:
        """The conversation in words."""
        told = [
            f"{turn.role}: {' '.join(filter(None, [_thought(turn), turn.text, *turn.calls]))}" for turn in self.turns
        ]
        return f"{self._caption} {' / '.join(told) or 'Nobody has said anything yet.'} {self.error}".strip()

    def static(self) -> bytes:
        """The conversation as a PNG, with the exact prompt of the last answer."""
        return draw(self.provenance(), [(turn, stats(turn)) for turn in self.turns], self.error, self._caption)

    # ------------------------------------------------------------------------------------------------- the browser

    def _choose(self) -> None:
        self._dialogue.backend = list(self._dialogue.backends)[self.backend]
        self._dialogue.thinking = list(THINKING.values())[self.thinking]

    @traitlets.observe("ask")
    def _asked(self, _: Any) -> None:
        question = json.loads(self.ask)
        if question["count"] == self._said:
            return
        self._said, what = question["count"], question["what"]
        if what == "stop":
            self._dialogue.stop()
        elif what == "clear":
            self._dialogue.clear()
        elif not self._dialogue.busy and not self._dialogue.doing:
            self.backend, self.thinking = question["backend"], question["thinking"]
            self._choose()
            given = (question["text"], question["image"]) if what == "say" else ()
            work = self._dialogue.say if what == "say" else self._dialogue.again
            threading.Thread(target=work, args=given, daemon=True).start()

    def _changed(self) -> None:
        """Many pieces come in a moment: some are shown together."""
        now = time.monotonic()
        if not self._dialogue.busy or now - self._shown > EVERY:
            self._shown = now
            self._publish()

    def _publish(self) -> None:
        state = self._dialogue.state()
        for turn, told in zip(state["turns"], self._dialogue.turns):
            turn["stats"] = stats(told)
        self.view = json.dumps(state)


def stats(turn: Turn) -> str:
    """What is known about an answer, in a line."""
    known = [f"first token after {short(turn.first)} s"] if turn.first is not None else []
    unit = "pieces" if turn.tokens[1] is None else "tokens"  # until somebody has counted
    known += [f"{short(turn.rate)} {unit}/s"] if turn.rate else []
    known += [f"{turn.tokens[0]:,} tokens read"] if turn.tokens[0] is not None else []
    known += [f"{turn.tokens[1]:,} written"] if turn.tokens[1] is not None else []
    return " · ".join([*known, *filter(None, [ENDS.get(turn.end, "")])])


def _thought(turn: Turn) -> str:
    return f"(thinks: {turn.reasoning})" if turn.reasoning else ""


def chat(
    backends: Mapping[str, Backend], *, first: str = "", thinking: bool | None = None, max_new_tokens: int = 256,
    tools: Toolbox | Given | Iterable[Given] = (), budget: Budget | None = None,
) -> Chat:  # fmt: skip
    """Talk to models: a text field, an answer in two lanes, a stop button, and the exact prompt.

    Args:
        backends: name -> what `lab.load`, `lab.serve` or `lab.Client` returns.
        first: a question to begin with, asked at once.
        thinking: True, False, or None for each model's own way; to begin with.
        max_new_tokens: of an answer.
        tools, budget: as in `agents.run`; calls are run here, and a question ends with an answer or at a limit.
    Raises:
        InputError: nobody to talk to, or something else in their place.
    """
    box = tools if isinstance(tools, Toolbox) else Toolbox(tools)  # type: ignore[arg-type]
    through = looped(box, budget=budget) if len(box) else once
    dialogue = Dialogue(backends, max_new_tokens=max_new_tokens, through=through)
    names = listed([f"“{name}”" for name in backends])
    offered = f"Who answers may call {listed([each.name for each in box])}, which are run here. " if len(box) else ""
    caption = (
        f"Talk to {names}. {offered}Thoughts have a lane of their own, with a dashed edge; the first token's "
        "time and the tokens a second are measured here, where the pieces arrive. At most "
        f"{max_new_tokens} tokens an answer."
    )
    made = Chat(dialogue, caption, thinking=list(THINKING.values()).index(thinking))
    if first:
        made.say(first)
    return made
