"""What the makers advise: the rows of the cards, which one a prompt gets, and that nothing is used unasked."""

import json
import shutil
from pathlib import Path

import pytest

import qwen35_lab as lab
from qwen35_lab.family import OFFICIAL, repositories
from qwen35_lab.paths import data_path
from qwen35_lab.presets import SETTINGS, find_presets

# thinking, use, then temperature, top_p, top_k, min_p, presence and repetition penalty, as the model cards print them
SMALL = {
    (True, "general"): (1.0, 0.95, 20, 0, 1.5, 1.0),
    (True, "vision"): (0.6, 0.95, 20, 0, 0.0, 1.0),
    (True, "coding"): (0.6, 0.95, 20, 0, 0.0, 1.0),
    (False, "general"): (1.0, 1.0, 20, 0, 2.0, 1.0),
    (False, "vision"): (0.7, 0.8, 20, 0, 1.5, 1.0),
}
LARGE = {
    (True, "general"): (1.0, 0.95, 20, 0, 1.5, 1.0),
    (True, "coding"): (0.6, 0.95, 20, 0, 0.0, 1.0),
    (False, "general"): (0.7, 0.8, 20, 0, 1.5, 1.0),
    (False, "reasoning"): (1.0, 0.95, 20, 0, 1.5, 1.0),
}
# the condition under which a prompt ends in no thought: of 0.8B and 2B, which is the nano's too; of the larger ones
UNLESS_ON = "enable_thinking is not defined or enable_thinking is not true"
ONLY_WHEN_OFF = "enable_thinking is defined and enable_thinking is false"


@pytest.mark.parametrize("model", OFFICIAL)
def test_the_cards_rows(model: str) -> None:
    found = find_presets(f"Qwen/{model}")
    rows = {(p.thinking, p.use): tuple(p.settings[name] for name in SETTINGS) for p in found}
    assert rows == (SMALL if model in ("Qwen3.5-0.8B", "Qwen3.5-2B") else LARGE)
    assert all(p.source and p.read for p in found)
    assert repositories()[f"Qwen/{model}"].thinks == (model not in ("Qwen3.5-0.8B", "Qwen3.5-2B"))
    assert find_presets(f"somewhere/{model}") == found and len(repr(found).splitlines()) == len(rows) + 2


def test_the_family_has_twenty_one_repositories() -> None:
    forms = [repository.form for repository in repositories().values()]
    assert {form: forms.count(form) for form in forms} == {"post-trained": 8, "base": 5, "fp8": 4, "gptq-int4": 4}
    assert {repository.model for repository in repositories().values()} == set(OFFICIAL)


@pytest.mark.parametrize("name", ["Qwen/Qwen3.5-9B-Base", "nano", "someone/else"])
def test_base_models_and_strangers_have_none(name: str) -> None:
    presets = find_presets(name)
    assert not presets and "No advice" in repr(presets)
    with pytest.raises(lab.InputError, match="No preset is known"):
        presets.choose("general", False, False)


def named(model: str, folder: Path) -> lab.Qwen:
    """The nano under an official name, with that checkpoint's way of thinking."""
    shutil.copytree(data_path("nano"), folder / model)
    template = folder / model / "chat_template.jinja"
    assert template.read_text().count(UNLESS_ON) == 1
    if repositories()[f"Qwen/{model}"].thinks:
        template.write_text(template.read_text().replace(UNLESS_ON, ONLY_WHEN_OFF))
    return lab.load(folder / model)


@pytest.fixture
def used(monkeypatch: pytest.MonkeyPatch) -> list[lab.Sampling]:
    """How tokens were to be chosen, call by call; none is made."""
    found: list[lab.Sampling] = []

    def decode(*args: object, sampling: lab.Sampling, **settings: object) -> list[object]:
        found.append(sampling)
        return []

    monkeypatch.setattr("qwen35_lab.speak.decode", decode)
    return found


@pytest.mark.parametrize("model", ["Qwen3.5-0.8B", "Qwen3.5-4B"])
def test_a_prompt_gets_the_row_of_the_mode_it_ends_in(model: str, tmp_path: Path, used: list[lab.Sampling]) -> None:
    qwen = named(model, tmp_path)
    rows, thinks = (SMALL, False) if model == "Qwen3.5-0.8B" else (LARGE, True)

    def row(thinking: bool, use: str) -> lab.Sampling:
        return lab.Sampling(**dict(zip(SETTINGS, rows[thinking, use])))  # type: ignore[arg-type]

    square = lab.nano.world.draw("shapes", seed=0, index=3, split="test").messages[:1]
    seeing = "vision" if model == "Qwen3.5-0.8B" else "general"
    for call, wanted in {
        lambda: qwen.chat("Hello"): lab.Sampling(),
        lambda: qwen.chat("Hello", preset="general"): row(thinks, "general"),
        lambda: qwen.chat("Hello", thinking=True, preset="coding"): row(True, "coding"),
        lambda: qwen.chat("Hello", thinking=False, preset="general"): row(False, "general"),
        lambda: qwen.chat(square, thinking=False, preset="general"): row(False, seeing),
        lambda: qwen.generate([{"role": "user", "content": "Hello"}], preset="general"): row(thinks, "general"),
        lambda: qwen.generate("Once", preset="general"): row(False, "general"),
        lambda: qwen.generate(["Once", "Twice"], preset="general"): row(False, "general"),
        lambda: qwen.generate([1, 2, 3], preset="general"): row(False, "general"),
        lambda: qwen.generate(qwen.chat_prompt("Hello", thinking=True), preset="general"): row(True, "general"),
        lambda: list(qwen.stream("Once", preset=None)): lab.Sampling(),
    }.items():
        call()
        assert used.pop() == wanted and not used
    qwen.chat("Hello", preset="general", temperature=0.1, seed=7)
    by_hand = used.pop()
    assert (by_hand.temperature, by_hand.seed, by_hand.top_k) == (0.1, 7, 20)
    with pytest.raises(lab.InputError, match=r"no preset 'poems' without thinking; choose from 'general'"):
        qwen.chat("Hello", thinking=False, preset="poems")
    with pytest.raises(lab.InputError, match="did you mean 'preset'"):
        qwen.chat("Hello", presets="general")


def test_a_checkpoints_own_file_counts_when_it_is_asked_for(tmp_path: Path, used: list[lab.Sampling]) -> None:
    folder = Path(shutil.copytree(data_path("nano"), tmp_path / "Qwen3.5-27B"))
    said = {"do_sample": True, "temperature": 0.6, "top_p": 0.95, "top_k": 20}
    (folder / "generation_config.json").write_text(json.dumps(said))
    qwen = lab.load(folder)
    qwen.generate("Once")
    assert used.pop() == lab.Sampling(), "greedy, as documented"
    qwen.generate("Once", preset="file")
    assert used.pop() == lab.Sampling(temperature=0.6, top_p=0.95, top_k=20)
    (folder / "generation_config.json").write_text("[]")
    with pytest.raises(lab.CheckpointError, match=r"generation_config\.json is damaged"):
        find_presets("nano", folder)
    assert not find_presets("nano", data_path("nano")), "ours says greedy"


def test_a_trace_takes_a_preset_too(tmp_path: Path) -> None:
    qwen = named("Qwen3.5-0.8B", tmp_path)
    trace = qwen.trace("Once", record="logits", max_new_tokens=2, preset="general", seed=1)
    assert trace.provenance.sampling == str(lab.Sampling(**dict(qwen.presets[0].settings), seed=1))  # type: ignore[arg-type]
