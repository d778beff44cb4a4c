"""A model with eyes among the other parts: drafts, tokens taken back, edits of patches, what a trace takes, threads."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from inputs.seeing import RAW, frames, picture, seeing
from reference import memories
from small import small
from test_estimate import measured

import qwen35_lab as lab
from qwen35_lab import generate
from qwen35_lab.analysis.walk import divergence
from qwen35_lab.generate import Sampling
from qwen35_lab.model import mtp_logits, rewindable
from qwen35_lab.speculative import Speculation

MTP = {"text_config": RAW["text_config"] | {"mtp_num_hidden_layers": 1}, "tie_word_embeddings": False}
IMAGE = "<|vision_start|><|image_pad|><|vision_end|>"
MAPS = ["vision.blocks.*.attention.scores", "vision.blocks.*.attention.weights"]


@pytest.fixture(scope="module")
def qwen() -> lab.Qwen:
    return seeing(seed=2, **MTP)


def shown(**sizes: Any) -> dict[str, Any]:
    return {"images": picture(40, 60), "videos": frames(5, 32, 48)} | sizes


# ------------------------------------------------------------------------- drafts


@pytest.mark.parametrize("piece", [2048, 7])
def test_greedy_answers_about_pictures_are_the_same_with_drafts(qwen, piece, monkeypatch):
    """Also where the prompt is read in pieces that cut a picture in two."""
    monkeypatch.setattr(generate, "PREFILL_TOKENS", piece)
    text = qwen.generate("what?", 24, **shown())
    record = lab.Drafts(3)
    assert qwen.generate("what?", 24, speculative=record, **shown()) == text and len(record.steps) > 1
    assert text != qwen.generate("what?", 24, **shown(images=picture(40, 60, 7)))


@torch.inference_mode()
def test_after_every_step_both_caches_are_those_of_the_accepted_text_with_its_pictures(qwen):
    """The prompt ends with a picture, so that the first answer stands behind its longer side."""
    made = qwen.look(IMAGE.removesuffix("<|vision_end|>"), images=picture(40, 60))
    ids, _, pictures = made.pop("input_ids"), made.pop("attention_mask"), made
    run = Speculation(qwen.model, Sampling(), (), ids.device)
    read, token = ids, run.begin(ids, pictures)
    for _ in range(4):
        step = run.step(token, 3)
        read = torch.cat((read, torch.tensor([[token, *step.drafted[: step.accepted]]])), dim=1)
        token = step.tokens[-1]
        fresh, head = qwen.model.new_cache(), qwen.model.mtp.new_cache()
        out = qwen.model(read, cache=fresh, **pictures)
        qwen.model.mtp(out.embedded[:, 1:], out.hidden[:, :-1], out.positions[..., :-1], cache=head)
        assert fresh.next_position < fresh.length and torch.equal(run.cache.next_position, fresh.next_position)
        for mine, theirs in ((run.cache, fresh), (run.drafter.cache, head)):
            assert mine.length == theirs.length
            for a, b in zip(memories(mine), memories(theirs), strict=True):
                torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_drafts_stand_at_the_positions_that_the_text_will_have(qwen):
    made = qwen.look(IMAGE.removesuffix("<|vision_end|>"), images=picture(40, 60))
    ids, _, pictures = made.pop("input_ids"), made.pop("attention_mask"), made
    run = Speculation(qwen.model, Sampling(), (), ids.device)
    token, seen = run.begin(ids, pictures), []
    hook = qwen.model.mtp.register_forward_pre_hook(lambda module, args: seen.append(args[2]))
    drafted, _ = run.drafter.draft(token, 3, Sampling(), run.history, None)
    hook.remove()
    positions = qwen.model(torch.cat((ids, torch.tensor([[token, *drafted[:2]]])), dim=1), **pictures).positions
    assert torch.equal(torch.cat(seen, dim=-1), positions[..., len(ids[0]) - 1 : -1])


@torch.inference_mode()
def test_the_head_guesses_all_at_once_what_it_drafts_one_by_one(qwen):
    """Behind a picture places are no longer even, so that a slot at its neighbour's place would show."""
    made = qwen.look(f"see {IMAGE} it", images=picture(40, 60))
    ids, _, pictures = made.pop("input_ids"), made.pop("attention_mask"), made
    run = Speculation(qwen.model, Sampling(temperature=1.0), (), ids.device)
    token = run.begin(ids, pictures)
    _, q = run.drafter.draft(token, 1, run.sampling, run.history, None)
    whole = torch.cat((ids, torch.tensor([[token]])), dim=1)
    out = qwen.model(whole, **pictures)
    logits = mtp_logits(qwen.model, out.hidden, whole, positions=out.positions, embedded=out.embedded)
    torch.testing.assert_close(q[0], logits[0, -1].softmax(-1), atol=1e-5, rtol=1e-4)


@torch.inference_mode()
@pytest.mark.parametrize("size", [(40, 60), (60, 40)])
def test_an_answer_right_behind_a_picture_stands_behind_its_longer_side(qwen, size):
    made = qwen.look(f"see {IMAGE}".removesuffix("<|vision_end|>"), images=picture(*size))
    ids, mask, pictures = made.pop("input_ids"), made.pop("attention_mask"), made
    seen = []
    hook = qwen.model.register_forward_hook(lambda module, args, output: seen.append(output.positions))
    tokens = [int(n) for n in generate.decode(qwen.model, ids, mask, max_new_tokens=4, pictures=pictures)]
    hook.remove()
    whole = qwen.model(torch.cat((ids, torch.tensor([tokens[:-1]])), dim=1), **pictures)
    assert torch.equal(torch.cat(seen, dim=-1), whole.positions)


@torch.inference_mode()
def test_a_pass_with_a_picture_is_taken_back_to_any_token(qwen):
    made = qwen.look(f"a{IMAGE}bcd", images=picture(40, 60))
    ids, _, pictures = made.pop("input_ids"), made.pop("attention_mask"), made
    more, whole = torch.tensor([[70, 71]]), qwen.model.new_cache()
    expected = qwen.model(torch.cat((ids, more), dim=1), cache=whole, **pictures).logits[:, -2:]
    first = qwen.model.new_cache()
    with rewindable(qwen.model, first) as rewind:
        qwen.model(torch.cat((ids, torch.tensor([[80, 81, 82]])), dim=1), cache=first, **pictures)
    rewind(ids.shape[1])
    torch.testing.assert_close(qwen.model(more, cache=first).logits, expected, atol=1e-4, rtol=1e-4)
    assert torch.equal(first.next_position, whole.next_position) and first.next_position < first.length


# ------------------------------------------------------------------------- edits


@pytest.mark.parametrize(
    ("tap", "axis"),
    [("vision.patches", "patch"), ("vision.blocks.1.output", "patch"), ("vision.merged", "cell")],
)
def test_places_in_pictures_are_counted_from_their_own_end(qwen, tap, axis):
    plain = qwen.trace("what?", tap, **shown())[tap]
    last = len(plain) - 1
    for choice, meant in (
        (-1, [last]),
        ([0, -2], [0, last - 1]),
        (slice(-3, None), [last - 2, last - 1, last]),
        (slice(None, None, 7), list(range(0, last + 1, 7))),
    ):
        edited = qwen.trace("what?", tap, lab.edit(tap, **{axis: choice}).zero(), **shown())[tap]
        changed = (edited != plain).any(1).nonzero()[:, 0].tolist()
        assert changed == meant
    with pytest.raises(lab.InputError, match=f"{axis} {last + 1} is outside the {last + 1} that there are"):
        qwen.trace("what?", tap, lab.edit(tap, **{axis: last + 1}).zero(), **shown())


def test_an_edit_of_the_tower_means_the_same_beside_padding(qwen):
    """All pictures of a batch lie in one row of patches, whatever is padding in the text."""
    made = qwen.look([f"look {IMAGE}", f"{IMAGE}?"], [picture(40, 60), picture(16, 24, 1)])
    assert not made["attention_mask"].all()
    with qwen.edited(lab.edit("vision.merged", cell=-1).scale(3)), lab.record(qwen.model, "vision.merged") as values:
        qwen.model(**made)
    with lab.record(qwen.model, "vision.merged") as plain:
        qwen.model(**made)
    assert torch.equal(values["vision.merged"][0][0, -1], 3 * plain["vision.merged"][0][0, -1])
    assert torch.equal(values["vision.merged"][0][0, :-1], plain["vision.merged"][0][0, :-1])


@pytest.mark.parametrize("name", ["scores", "weights"])
def test_no_edit_of_a_map_lets_a_frame_see_another_one(qwen, name):
    tap = f"vision.blocks.0.attention.{name}"
    plain = qwen.trace("what?", MAPS, **shown())
    edited = qwen.trace("what?", [*MAPS, "vision.blocks.0.output"], lab.edit(tap).set(0.1), **shown())
    apart = plain["vision.blocks.0.attention.scores"] == -torch.inf
    assert apart.any() and torch.equal(edited[tap][apart], plain[tap][apart])
    assert (edited[tap][~apart] == 0.1).all()
    with lab.record(qwen.model, "vision.blocks.0.output") as values:  # a bare hook, which knows of no frames
        block = qwen.model.vision.blocks[0].attention
        hook = getattr(block, name).register_forward_hook(lambda module, inputs, value: torch.full_like(value, 0.1))
        qwen.trace("what?", "embed", **shown())
        hook.remove()
    assert torch.equal(
        values["vision.blocks.0.output"][0][0], edited["vision.blocks.0.output"].as_subclass(torch.Tensor)
    )


def test_patches_are_patched_from_another_picture(qwen):
    other = qwen.trace("what?", ["vision.patches", "vision.merged"], images=picture(40, 60, 7))
    edit = lab.edit("vision.patches").patch_from(other)
    found = qwen.trace("what?", ["vision.patches", "vision.merged"], edit, images=picture(40, 60))
    assert torch.equal(found["vision.patches"], other["vision.patches"])
    torch.testing.assert_close(found["vision.merged"] + 0, other["vision.merged"] + 0)
    with pytest.raises(lab.InputError, match=r"vision\.patches belongs to no token; leave out token"):
        qwen.trace("what?", "embed", lab.edit("vision.patches").patch_from(other, token=1), images=picture(40, 60))
    with pytest.raises(lab.InputError, match=r"has patch .* pictures that are alike"):
        qwen.trace("what?", "embed", edit, images=picture(80, 60))
    with pytest.raises(lab.InputError, match="has no axis 'token'"):
        qwen.trace("what?", "embed", lab.edit("vision.merged", token=1).zero(), images=picture(40, 60))


def test_an_edit_of_what_is_not_shown_is_said_to_change_nothing(qwen):
    with pytest.raises(lab.InputError, match="changed nothing"):
        qwen.trace("what?", "embed", lab.edit("vision.merged").zero())
    with pytest.raises(lab.InputError, match=r"vision\.merged is made of pictures, and there are none; pass images"):
        qwen.trace("what?", "vision.merged")


def test_another_thread_sees_and_guesses_unedited(qwen):
    def seen() -> list[torch.Tensor]:
        made = qwen.look("what?", images=picture(40, 60))
        ids = made["input_ids"]
        with torch.inference_mode():
            out = qwen.model(**made)
            return [out.logits, mtp_logits(qwen.model, out.hidden, ids, None, out.positions, out.embedded)]

    before = seen()
    for edit in (lab.edit("vision.blocks.1.attention.weights").zero(), lab.edit("mtp.layers.0.mixer.weights").scale(0)):
        with qwen.edited(edit), ThreadPoolExecutor(1) as pool:
            elsewhere, here = pool.submit(seen).result(), seen()
        assert all(map(torch.equal, elsewhere, before)) and not all(map(torch.equal, here, before))


# ------------------------------------------------------------------------- what it takes


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    ("record", "edits", "new"),
    [
        ("vision.merged", (), 0),
        ("*", (), 0),
        (MAPS, (), 0),
        ("vision.merged", lab.edit("vision.blocks.1.attention.scores", head=0).zero(), 0),
        (["vision.*", *MAPS, "embed"], (), 4),
    ],
)
def test_the_peak_is_what_is_measured_or_a_little_more(dtype, record, edits, new):
    large = {"hidden_size": 64, "intermediate_size": 160, "num_heads": 4}
    qwen = seeing(**MTP, vision_config=RAW["vision_config"] | large)
    qwen.model = qwen.model.to(getattr(torch, dtype))
    given = {"images": picture(96, 160)}
    qwen.trace("w", "embed", images=picture(8, 8))
    sizes = qwen.trace_size("what?", record, edits, max_new_tokens=new, **given)
    trace: Any = None

    def run() -> Any:
        nonlocal trace
        trace = qwen.trace("what?", record, edits, max_new_tokens=new, **given)
        return trace

    found = measured(run)
    assert sizes == {name: trace.tensors[name].nbytes for name in trace} and sizes.keys() == trace.tensors.keys()
    assert found <= sizes.peak + qwen.look("what?", **given)["pixel_values"].nbytes * 4 and sizes.peak <= 2.5 * found


def test_a_tower_without_pictures_takes_nothing(qwen):
    sizes, trace = qwen.trace_size("what?", "*"), qwen.trace("what?", "*")
    assert sizes.keys() == trace.tensors.keys() and not any(name.startswith("vision.") for name in sizes)


# ------------------------------------------------------------------------- the front door


def test_what_a_processor_made_is_a_prompt_with_its_pictures(qwen):
    made = qwen.processor(text=f"{IMAGE}what?", images=picture(40, 60), return_tensors="pt")
    text = qwen.generate("what?", 6, images=picture(40, 60))
    assert qwen.tokenizer.decode(qwen.generate(made, 6), skip_special_tokens=True) == text
    with pytest.raises(lab.InputError, match="has no eyes; leave out the pictures"):
        small().trace(made)
    trace = qwen.trace(made, "vision.merged")
    assert torch.equal(
        trace["vision.merged"], qwen.trace("what?", "vision.merged", images=picture(40, 60))["vision.merged"]
    )


def test_traces_with_pictures_and_guesses_are_kept_and_compared(qwen, tmp_path):
    """The tower's values have no place at a token, and the head's one place less than there are tokens."""
    record = ["*", "mtp.*"]
    trace = qwen.trace("what?", record, images=picture(40, 60))
    assert len(trace["mtp.logits"]) == len(trace.tokens) - 1
    trace.save(tmp_path / "a.trace")
    again = lab.Trace.load(tmp_path / "a.trace")
    assert again.tensors.keys() == trace.tensors.keys() and lab.diff(trace, again).first() is None
    other = qwen.trace("what?", record, images=picture(40, 60, 7))
    assert lab.diff(trace, other).first().name == "vision.patches"
    begun = qwen.trace("whole", record, images=picture(40, 60))
    found = lab.diff(trace, begun)
    assert {"mtp.embed_norm", "mtp.logits", "vision.merged"} <= {row.name for row in found}
    assert found.tokens == len(begun.tokens) - 3 and found.first() is None
    assert divergence(trace, begun) is None and divergence(trace, other)[0] == "embed"
    short, long = qwen.trace("wa", record), qwen.trace("what?", record)  # the first token is all that they share
    assert lab.diff(short, long).first() is None and divergence(short, long) is None
    stepper = lab.step(qwen, trace, against=other)
    assert "vision tower and MTP head made is left out" in stepper._data["note"]
    assert not any(stop["name"].startswith(("vision.", "mtp.")) for stop in stepper._data["stops"])


def test_text_alone_is_walked_compared_and_kept_as_in_a_text_model(qwen, tmp_path):
    """The stepper, the ledger and the files of a model with eyes and a head, asked about text."""
    trace = qwen.trace("what?", "*")
    assert lab.diff(trace, qwen.trace("what?", "*")).first() is None
    assert lab.parity_ledger(qwen, "what?").holds
    lab.step(qwen, "what?")
    trace.save(tmp_path / "a.trace")
    assert lab.Trace.load(tmp_path / "a.trace").tensors.keys() == trace.tensors.keys()
    again = lab.load(qwen.save(tmp_path / "saved"))
    assert type(again.model) is lab.MultimodalModel and again.model.mtp is not None
    ids = torch.arange(5, 15)[None]
    with torch.no_grad():
        assert torch.equal(again.model(ids).logits, qwen.model(ids).logits)
