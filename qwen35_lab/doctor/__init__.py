"""What this machine can run, which kernels are in use, and what to do about it.

    lab.doctor()                            # in a notebook
    qwen35-lab doctor [--json] [--hub]      # the same in a terminal

Every finding has a state ("fine", "note", "problem"), one sentence, and the fix. It changes nothing, and never raises:
a probe that fails is itself a finding.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial

from ..errors import InputError
from ..provenance import versions as computes_with
from . import kernels, machine, models, offline, traps, versions, widgets
from .report import Finding, Report

Probe = Callable[[], Iterator[Finding]]
PROBES: dict[str, Probe] = {
    each.TOPIC: each.look for each in (versions, kernels, machine, traps, widgets, offline, models)
}

__all__ = ["PROBES", "Finding", "Report", "doctor"]


def doctor(topics: str | Iterable[str] | None = None, *, hub: bool = False) -> Report:
    """Look at everything, or at some topics.

    Args:
        topics: names in `PROBES`; all of them if not given. "models" takes seconds, the rest less than one.
        hub: ask the Hub for a sign of life too; otherwise nothing leaves this machine.
    Raises:
        InputError: there is no such topic.
    """
    wanted = list(PROBES) if topics is None else [topics] if isinstance(topics, str) else list(topics)
    if unknown := [topic for topic in wanted if topic not in PROBES]:
        raise InputError(f"There is no topic {unknown[0]!r}; the topics are {', '.join(PROBES)}.")
    findings: list[Finding] = []
    for topic in wanted:
        probe = partial(offline.look, hub=True) if hub and topic == offline.TOPIC else PROBES[topic]
        findings += examined(topic, probe)
    return Report(findings, computes_with()["qwen35-lab"])


def examined(topic: str, probe: Probe) -> list[Finding]:
    """What a probe finds, and in place of the rest, if it fails, that it failed."""
    findings: list[Finding] = []
    try:
        for finding in probe():
            findings.append(finding)
    except Exception as error:  # whatever a broken installation raises
        says = (
            f"This could not be looked at: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        )
        fix = "If the rest works, never mind; a report of this line helps us."
        findings.append(Finding(topic, f"{topic}: failed", "problem", says, fix, type(error).__name__))
    return findings
