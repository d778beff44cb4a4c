"""What a fine-tuned model can still do: held-out questions of other kinds, judged by the nano's world, in counts."""

from collections.abc import Sequence

from ..errors import InputError
from ..inputs import write_chat
from ..model import MultimodalModel
from ..nano.batches import in_batches
from ..nano.score import answer
from ..nano.tokenizer import SIZE
from ..nano.world import KINDS, TEXT_KINDS, Question, Sample, draw, judge
from ..qwen import Qwen

AT_ONCE = 32
ROOM = 160  # tokens of an answer, for models whose answers have lengths of their own
Prompt = tuple[Sample, Question]


def kept(qwen: Qwen, kinds: Sequence[str] | None = None, n: int = 32, seed: int = 0) -> dict[str, tuple[int, int]]:
    """Kind -> (right answers, questions): the first question of n held-out samples each, answered greedily.

    Args:
        kinds: all that the model can read, if nothing is said: the pictures of this world fit the nano's eyes alone.
    Raises:
        InputError: a kind that the model cannot read, or n below 1.
    """
    model = qwen.model if isinstance(qwen.model, MultimodalModel) and qwen.config.text.vocab_size == SIZE else None
    readable = TEXT_KINDS if model is None else tuple(KINDS)
    chosen = readable if kinds is None else tuple(kinds)
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise InputError(f"{n!r} questions measure nothing; ask one at least.")
    if unknown := [kind for kind in chosen if kind not in readable]:
        raise InputError(f"This model cannot be asked about {unknown[0]!r}; choose from {', '.join(readable)}.")
    found = {}
    for kind in chosen:
        samples = [draw(kind, seed, index, "test") for index in range(n)]
        prompts = [(sample, sample.questions[0]) for sample in samples]
        if model:
            verdicts = [each.verdict for each in answer(model, qwen.tokenizer, prompts)]
        else:
            verdicts = by_text(qwen, prompts)
        found[kind] = (verdicts.count("right"), n)
    return found


def by_text(qwen: Qwen, prompts: Sequence[Prompt]) -> list[str]:
    """Verdicts on what any model with a chat template answers, without pictures."""
    texts = [
        write_chat(qwen.tokenizer, sample.prompt(question), tools=sample.tools, thinking=sample.thinking).text
        for sample, question in prompts
    ]

    def ask(batch: list[int]) -> list[str]:
        return qwen.generate([texts[n] for n in batch], max_new_tokens=ROOM)

    said = in_batches([*map(len, texts)], AT_ONCE, ask)
    begun = ["<think>" if sample.thinking else "" for sample, _ in prompts]
    return [judge(*prompt, begin + text) for prompt, begin, text in zip(prompts, begun, said, strict=True)]
