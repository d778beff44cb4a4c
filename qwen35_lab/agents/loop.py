"""The loop: ask the model, run what it calls, tell it what came of that, ask again; until it answers or a limit is met.

    run = lab.agents.run(qwen, "What is 4391 * 17?", [calculator])
    print(run)              # every step
    run.answer

No error of a tool or of an answer ends it, for a model can be told what went wrong and try again. What ends it is an
answer without a call, a limit of the budget, or that the model itself cannot be asked any more.
"""

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ..errors import InputError, LabError
from ..inputs import Answer, ToolCall, parse_answer
from ..serving import Client, LocalServer
from .budget import Budget, Spent
from .functions import Need
from .toolbox import Given, Observation, Toolbox
from .transcript import Called, Ended, Observed, Prompted, Said, Step, Told, Transcript, write_call

Chat = Callable[..., Answer]  # (messages, tools=, thinking=, max_new_tokens=) -> Answer, as Qwen.chat

FORM = "Write <tool_call>, <function=NAME>, each parameter, </function> and </tool_call>, or just answer."
UNREAD = "That call could not be read: {}. " + FORM
UNENDED = "Your thought did not come to an end. Answer now, without thinking."
SILENT = "You said nothing. Answer, or call a function."
AGAIN = "{} was called with these arguments before, and is not run again; it said: {}"
LIMITS = {
    "steps": "the model has answered {} times", "calls": "tools have been called {} times",
    "tokens": "the model has written {} tokens", "seconds": "it has taken {} seconds",
    "slips": "{} answers in a row were of no use",
}  # fmt: skip


def run(
    model: Any, messages: str | Sequence[Mapping[str, Any]], tools: Toolbox | Given | Iterable[Given] = (), *,
    budget: Budget | None = None, allow: Iterable[Need] = (), thinking: bool | None = None,
    clock: Callable[[], float] = time.monotonic, **sampling: Any,
) -> Transcript:  # fmt: skip
    """Let a model use tools until it answers.

    Args:
        model: a `Qwen`, a server, a `Client`, or what answers like `Qwen.chat`: (messages, tools=, thinking=,
            max_new_tokens=) -> `Answer`.
        messages: so far, or what the user says first; not changed.
        tools: functions with types and a docstring, `Tool`s, or a `Toolbox`.
        budget: limits; see `Budget`.
        allow: what tools may do that say they need it: "network", "files", "shell". Of a `Toolbox`, its own.
        thinking: as in `Qwen.chat`.
        sampling: for the model; greedy if nothing is given.
    Raises:
        InputError: tools, messages or a budget that are none, before anything is run.
    """
    box = tools if isinstance(tools, Toolbox) else Toolbox(tools, allow=allow)  # type: ignore[arg-type]
    if isinstance(tools, Toolbox) and tuple(allow):
        raise InputError("These tools are in a Toolbox, which has its own allow; give it there.")
    return Loop(model, messages, box, Spent(budget or Budget(), clock), thinking, sampling).run()


class Loop:
    """One run. `steps` grows while it goes on."""

    def __init__(
        self, model: Any, messages: str | Sequence[Mapping[str, Any]], box: Toolbox, spent: Spent,
        thinking: bool | None = None, sampling: Mapping[str, Any] | None = None,
    ):  # fmt: skip
        model = model.client if isinstance(model, LocalServer) else model
        self.chat: Chat = model.chat if hasattr(model, "chat") else model
        if not callable(self.chat):
            raise InputError(f"A {type(model).__name__} cannot be asked; pass a Qwen, or a function like Qwen.chat.")
        owner = model if hasattr(model, "chat") else getattr(model, "__self__", None)
        self._prompt = owner.prompt if isinstance(owner, Client) else getattr(owner, "chat_prompt", None)
        self._tokenizer = getattr(owner, "tokenizer", None)
        self.messages = _listed(messages)
        self.box, self.spent, self.thinking, self.sampling = box, spent, thinking, dict(sampling or {})
        self.given = {
            "messages": list(self.messages), "tools": box.offers, "thinking": thinking, "budget": asdict(spent.budget),
        }  # fmt: skip
        self.steps: list[Step] = []
        self._said: dict[str, str] = {}  # call -> its last result

    def run(self) -> Transcript:
        while not self._finished():
            try:
                answer = self._ask()
            except (LabError, OSError) as error:  # a context that is full, a server that has gone
                self.steps.append(Ended("failed", f"{type(error).__name__}: {error}"))
                break
            self._react(answer)
        return Transcript(tuple(self.steps), self.given, self.messages)

    def _finished(self) -> bool:
        if self.steps and isinstance(self.steps[-1], Ended):
            return True
        if limit := self.spent.over():
            self._stop(limit)
        return bool(limit)

    def _stop(self, limit: str) -> None:
        number = getattr(self.spent, limit)
        text = LIMITS[limit].format(f"{number:.0f}" if limit == "seconds" else number)
        self.steps.append(Ended(limit, f"{text}, and the budget has {getattr(self.spent.budget, limit):g}"))

    def _ask(self) -> Answer:
        text = self._prompt(self.messages, self.box.offers or None, thinking=self.thinking) if self._prompt else ""
        self.steps.append(Prompted(text, len(self.messages)))
        answer = self.chat(
            self.messages, tools=self.box.offers or None, thinking=self.thinking, max_new_tokens=self.spent.room,
            **self.sampling,
        )  # fmt: skip
        text = _whole(answer, self.box.offers)
        tokens = self._count(text)
        self.spent.steps, self.spent.tokens = self.spent.steps + 1, self.spent.tokens + tokens
        self.steps.append(Said(text, answer.reasoning, answer.content, answer.malformed, answer.finished, tokens))
        self.messages.append(answer.message)
        return answer

    def _count(self, text: str) -> int:
        """Tokens; where nobody knows the tokenizer, four bytes are one."""
        if self._tokenizer is None:
            return -(-len(text.encode("utf-8", "replace")) // 4)
        return len(self._tokenizer(text)["input_ids"])

    def _react(self, answer: Answer) -> None:
        if answer.tool_calls:
            self._call(answer.tool_calls)
        elif answer.malformed:
            self._tell(UNREAD.format("; ".join(answer.malformed)), "unread")
        elif answer.content:
            self.spent.slips = 0
            why = "answered" if answer.finished != "length" else "tokens"
            self.steps.append(Ended(why, answer.content if why == "answered" else "the answer was cut off"))
        elif answer.reasoning:
            self.thinking = False
            self._tell(UNENDED, "unended")
        else:
            self._tell(SILENT, "silent")

    def _tell(self, text: str, why: str) -> None:
        self.spent.slips += 1
        self.steps.append(Told(text, why))
        self.messages.append({"role": "user", "content": text})

    def _call(self, calls: Sequence[ToolCall]) -> None:
        """Run those of one turn together, but for what was run often enough."""
        if self.spent.calls + len(calls) > self.spent.budget.calls:
            self.spent.calls += len(calls)
            self._stop("calls")
            return
        keys = [json.dumps([call.name, call.arguments], sort_keys=True, default=str) for call in calls]
        fresh = []
        for n, key in enumerate(keys):
            if self.spent.made.get(key, 0) < self.spent.budget.same:
                self.spent.made[key] = self.spent.made.get(key, 0) + 1
                fresh.append(n)
        found = dict(zip(fresh, self.box.run_all([calls[n] for n in fresh]), strict=True))
        self._said |= {keys[n]: seen.text for n, seen in found.items()}
        self.spent.calls += len(calls)
        self.spent.slips = self.spent.slips + 1 if not any(seen.ok for seen in found.values()) else 0
        for n, call in enumerate(calls):
            again = Observation(AGAIN.format(call.name, self._said.get(keys[n], "nothing")), "repeated")
            self._observe(call, found.get(n, again))
        if len(calls) == 1 and found and found[0].kind == "result" and self.box.is_final(calls[0].name):
            self.steps.append(Ended("answered", found[0].text))

    def _observe(self, call: ToolCall, seen: Observation) -> None:
        self.steps += [Called(call.name, call.arguments), Observed(call.name, seen.text, seen.kind)]
        self.messages.append({"role": "tool", "name": call.name, "content": seen.text})


def _whole(answer: Answer, offers: Any) -> str:
    """What the model wrote; the calls that a server has taken out are written in again."""
    if not answer.tool_calls or parse_answer(answer.text, tools=offers).tool_calls:
        return answer.text
    calls = "\n".join(write_call(call.name, call.arguments) for call in answer.tool_calls)
    return f"{answer.text}\n\n{calls}" if answer.text.strip() else calls


def _listed(messages: Any) -> list[dict[str, Any]]:
    if isinstance(messages, str):
        return [{"role": "user", "content": messages}]
    if not isinstance(messages, list | tuple) or not messages or not all(isinstance(m, Mapping) for m in messages):
        raise InputError('Messages are a list of {"role": …, "content": …}, at least one; or pass a text.')
    return [dict(message) for message in messages]
