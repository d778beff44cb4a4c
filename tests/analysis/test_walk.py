"""The walk through a forward pass: every value has its equation, its line of source and its place, and passes part
where they really part."""

import re
from pathlib import Path

import pytest
import torch
from inputs.seeing import picture, seeing
from small import DENSE, IDS, MOE, small

import qwen35_lab as lab
from qwen35_lab.analysis.equations import EQUATIONS, STREAM
from qwen35_lab.analysis.walk import Node, Stop, divergence, place, token_gaps, tree, walk
from qwen35_lab.exercises.planted import BUGS, planted
from qwen35_lab.model import TextModel
from qwen35_lab.model.deltanet import GatedDeltaNet

ROOT = Path(lab.__file__).parents[1]


def all_taps(qwen: lab.Qwen) -> list[str]:
    return [name for name, _ in lab.taps(qwen.model)]


def owner(model, name: str) -> tuple[str, str]:
    path, _, tap = name.rpartition(".")
    thing = type(model.get_submodule(path))
    inherited = issubclass(thing, TextModel) and tap in ("final", "logits")
    return "TextModel" if inherited else thing.__name__, tap


@pytest.fixture(scope="module", params=[DENSE, MOE], ids=["dense", "moe"])
def walked(request):
    """(model, trace of every tap, its stops)"""
    return walked_through(small(request.param))


@pytest.fixture(scope="module", params=[DENSE, MOE], ids=["dense", "moe"])
def with_head(request):
    """The same of a model with an MTP head."""
    return walked_through(small(request.param, mtp_num_hidden_layers=1))


def walked_through(qwen: lab.Qwen):
    trace = qwen.trace(IDS, all_taps(qwen))
    return qwen, trace, walk(qwen.model, trace)


# ------------------------------------------------------------------------- equations


def test_every_tap_has_an_equation_and_every_equation_a_tap():
    models = [small(raw, mtp_num_hidden_layers=1).model for raw in (DENSE, MOE)] + [seeing().model]
    there = {owner(model, name) for model in models for name, _ in lab.taps(model)}
    assert {(thing, tap) for thing, taps in EQUATIONS.items() for tap in taps} == there


def test_what_an_equation_reads_is_a_tap_of_the_same_layer():
    for model in (*(small(raw, mtp_num_hidden_layers=1).model for raw in (DENSE, MOE)), seeing().model):
        names = {name for name, _ in lab.taps(model)}
        for name in names:
            prefix = re.match(r"(((mtp\.)?layers|vision\.blocks)\.\d+\.)?", name)[0]
            thing, tap = owner(model, name)
            missing = {prefix + read for read in EQUATIONS[thing][tap].reads if read != STREAM} - names
            assert not missing, name


def test_a_walk_begins_with_the_picture():
    qwen = seeing()
    trace = qwen.trace("what?", all_taps(qwen), images=picture(16, 24))
    stops = {stop.name: stop for stop in walk(qwen.model, trace)}
    assert list(stops) == list(trace)
    assert stops["embed"].reads == ("vision.merged",) and stops["vision.merged"].reads == ("vision.blocks.1.output",)
    assert stops["vision.blocks.1.input"].reads == ("vision.blocks.0.output",)
    assert stops["vision.blocks.0.attention.weights"].reads == ("vision.blocks.0.attention.scores",)
    seen = set()
    for stop in stops.values():
        assert set(stop.reads) <= seen, "what a value is made from comes before it"
        seen.add(stop.name)
        line = (ROOT / stop.place.file).read_text(encoding="utf-8").splitlines()[stop.place.line - 1]
        if stop.operation not in ("erase", "write", "state"):  # the loop over tokens calls these
            assert f"self.{stop.operation}(" in line, stop.name
    edited = qwen.trace("what?", all_taps(qwen), lab.edit("vision.merged").zero(), images=picture(16, 24))
    assert divergence(edited, trace) == ("embed", 1), "the first token of the picture"


def test_braces_of_equations_are_closed():
    for taps in EQUATIONS.values():
        for equation in taps.values():
            for text in (equation.text, equation.where):
                assert text.count("{") == text.count("}") and not text.endswith(("_", "^"))


def test_a_value_changes_with_each_value_that_it_reads(with_head):
    """Truth from outside: a plain hook changes what is read, and the value moves; of later stops nothing is read."""
    qwen, trace, stops = with_head
    order = [stop.name for stop in stops]
    noise = torch.Generator().manual_seed(0)
    for stop in stops:
        if stop.layer in (0, 1) or (qwen.config.text.is_moe and ".ffn." not in stop.name):  # one of each kind is enough
            continue
        for read in stop.reads:
            assert order.index(read) < order.index(stop.name)
            if read.endswith("expert_ids"):  # other experts: whole numbers, not noise

                def change(module, inputs, value):
                    return (value + 1) % 6
            else:

                def change(module, inputs, value):
                    return value + torch.randn(value.shape, generator=noise)

            handle = qwen.model.get_submodule(read).register_forward_hook(change)
            try:
                moved = qwen.trace(IDS, order)
            finally:
                handle.remove()
            assert not torch.equal(moved[stop.name], trace[stop.name]), f"{stop.name} does not read {read}"


def test_what_was_not_recorded_is_replaced_by_what_it_is_made_from():
    qwen = small()
    reads = {stop.name: stop.reads for stop in walk(qwen.model, qwen.trace(IDS))}
    names = ("q", "decay", "k", "beta", "v")
    assert reads["layers.0.mixer.read"] == tuple(f"layers.0.mixer.{name}" for name in names)
    assert reads["layers.3.mixer.out"] == tuple(f"layers.3.mixer.{name}" for name in ("q", "k", "v", "gate"))


# ------------------------------------------------------------------------- source


def test_the_line_of_source_makes_the_value(walked):
    """The files are read here again, line by line."""
    qwen, _, stops = walked
    for stop in stops:
        lines = (ROOT / stop.place.file).read_text(encoding="utf-8").split("\n")
        calls = [n for n, line in enumerate(lines, 1) if re.search(CALL.format(stop.operation), line)]
        assert calls == [stop.place.line], stop.name
        line = lines[stop.place.line - 1]
        if stop.place.last_line == stop.place.line:
            call = line[stop.place.start : stop.place.end]
            assert call.startswith((f"self.{stop.operation}(", f'watch("{stop.operation}", ')) and call.endswith(")")
            assert call.count("(") == call.count(")")
        expected = "delta_rule" if stop.operation in ("erase", "write", "state") else type_file(qwen.model, stop.name)
        assert Path(stop.place.file).stem == expected


CALL = r'self\.{0}\(|watch\("{0}",'


def type_file(model, name: str) -> str:
    path = name.rpartition(".")[0]
    return type(model.get_submodule(path)).__module__.rpartition(".")[2]


def test_an_excerpt_is_the_file_and_stays_in_the_function(walked):
    for stop in walked[2]:
        first, lines = stop.place.excerpt()
        whole = (ROOT / stop.place.file).read_text(encoding="utf-8").split("\n")
        assert lines == whole[first - 1 : first - 1 + len(lines)]
        assert first <= stop.place.line <= stop.place.last_line < first + len(lines)
        assert all(lines) and not any(line.lstrip().startswith("def ") for line in lines[1:])


def test_a_tap_that_is_not_there_has_no_line():
    with pytest.raises(lab.InputError, match="GatedDeltaNet has no line that calls the tap 'nothing'"):
        place(GatedDeltaNet, "nothing")


# ------------------------------------------------------------------------- order and tree


def test_stops_are_in_the_order_in_which_the_taps_fired(walked):
    qwen, _, stops = walked
    fired = []
    handles = [
        tap.register_forward_hook(lambda module, inputs, value, name=name: fired.append(name))
        for name, tap in lab.taps(qwen.model)
    ]
    try:
        qwen.model(torch.tensor([IDS]))
    finally:
        for handle in handles:
            handle.remove()
    assert [stop.name for stop in stops] == list(dict.fromkeys(fired))


def leaves(node) -> list[str]:
    return [node.name] if isinstance(node, Stop) else [name for child in node.children for name in leaves(child)]


def test_the_leaves_of_the_tree_are_the_stops_in_order(walked):
    qwen, _, stops = walked
    root = tree(stops)
    assert leaves(root) == [stop.name for stop in stops]
    layers = [child for child in root.children if isinstance(child, Node)]
    assert [layer.kind for layer in layers] == list(qwen.config.text.layer_types)
    for n, layer in enumerate(layers):
        assert all(name.startswith(f"layers.{n}.") for name in leaves(layer))
        parts = [child.label for child in layer.children if isinstance(child, Node)]
        assert parts == ["mixer", "feed-forward"]


def test_a_trace_of_another_model_is_refused():
    moe = small(MOE)
    with pytest.raises(lab.InputError, match=r"has no tap 'layers\.0\.ffn\.router_logits'; pass the model"):
        walk(small().model, moe.trace(IDS))


# ------------------------------------------------------------------------- divergence


def test_a_pass_does_not_differ_from_itself(walked):
    _, trace, _ = walked
    assert divergence(trace, trace) is None


def test_the_largest_gap_of_all_tokens_is_that_of_diff(walked):
    qwen, trace, _ = walked
    other = small(MOE if qwen.config.text.is_moe else DENSE, seed=1).trace(IDS, list(trace))
    gaps = token_gaps(trace, other)
    for found in lab.diff(trace, other):
        assert gaps[found.name].shape == (len(IDS),)
        assert float(gaps[found.name].max()) == pytest.approx(found.gap, rel=1e-12)


# the first value that each planted mistake can spoil, inside its layer
FIRST = {
    "mixer_norm": {"linear_attention": "mixer.q", "full_attention": "mixer.v"},
    "mixer.conv": {"linear_attention": "mixer.q"}, "mixer.norm": {"linear_attention": "mixer.out"},
    "mixer.k_norm": {"full_attention": "mixer.k"},
    "ffn_norm": dict.fromkeys(("linear_attention", "full_attention"), "ffn.out"),
    "ffn": dict.fromkeys(("linear_attention", "full_attention"), "ffn.out"),
}  # fmt: skip


@pytest.mark.parametrize("seed", range(len(BUGS)))
def test_a_planted_mistake_is_found_where_it_was_planted(seed):
    qwen = small()
    broken = lab.exercises.plant(qwen, seed)
    truth, bug = planted(broken)
    layer = truth.split(".")[1]
    kind = qwen.config.text.layer_types[int(layer)]
    names = all_taps(qwen)
    name, _ = divergence(qwen.trace(IDS, names), broken.trace(IDS, names))
    assert name == f"layers.{layer}.{FIRST[bug.module][kind]}"


@pytest.mark.parametrize("name", ["embed", "layers.1.mixer.beta", "layers.3.mixer.q", "layers.2.ffn.out", "logits"])
@pytest.mark.parametrize("token", [0, 4, len(IDS) - 1])
def test_a_change_at_a_later_token_is_found_at_that_token(name, token):
    qwen = small()
    names = all_taps(qwen)
    before = qwen.trace(IDS, names)

    def nudge(module, inputs, value):
        changed = value.clone()
        changed[:, token] += 0.1
        return changed

    handle = qwen.model.get_submodule(name).register_forward_hook(nudge)
    try:
        after = qwen.trace(IDS, names)
    finally:
        handle.remove()
    assert divergence(after, before) == divergence(before, after) == (name, token)


def test_inside_a_recurrence_the_first_token_that_changes_is_found():
    qwen = small()
    names = all_taps(qwen)
    before, calls = qwen.trace(IDS, names), []

    def nudge(module, inputs, value):  # fires once per token
        calls.append(1)
        return value + 0.1 * (len(calls) == 6)

    handle = qwen.model.get_submodule("layers.0.mixer.write").register_forward_hook(nudge)
    try:
        after = qwen.trace(IDS, names)
    finally:
        handle.remove()
    assert divergence(before, after) == ("layers.0.mixer.write", 5)
    gaps = token_gaps(before, after)
    assert (
        not gaps["layers.0.mixer.erase"][:6].any() and gaps["layers.0.mixer.erase"][6] > 1e-3
    )  # it reads what was written


def test_rounding_is_what_the_caller_says_it_is():
    qwen = small()
    trace = qwen.trace(IDS)
    precise = lab.Trace(
        trace.tokens, trace.ids, {n: t + 1e-6 * t.abs().max() for n, t in trace.tensors.items()}, trace.axes,
        trace.provenance,
    )  # fmt: skip
    assert divergence(trace, precise) is None
    assert divergence(trace, precise, above=1e-8) == ("embed", 0)


def test_not_a_number_counts_as_a_difference():
    qwen = small()
    trace = qwen.trace(IDS)
    broken = {n: t.clone() for n, t in trace.tensors.items()}
    broken["layers.1.mixer.v"][3] = torch.nan
    spoiled = lab.Trace(trace.tokens, trace.ids, broken, trace.axes, trace.provenance)
    assert divergence(trace, spoiled) == ("layers.1.mixer.v", 3)


def test_of_other_texts_the_common_beginning_is_compared():
    qwen = small()
    trace, other = qwen.trace(IDS), qwen.trace([*IDS[:6], 0, 0])
    assert divergence(trace, other) is None and divergence(trace, qwen.trace(IDS[:-1])) is None
    edited = qwen.trace([*IDS[:6], 0, 0], "*", lab.edit("layers.2.mixer.k", token=4).scale(2))
    found = divergence(trace, edited)
    assert found == ("layers.2.mixer.k", 4)
    assert repr(found) == (
        "layers.2.mixer.k differs first, at token 4. "
        "The first 6 tokens are the same and are compared; token 6 is '<2>' in one trace and '<0>' in the other."
    )
    assert all(len(gaps) == 6 for gaps in token_gaps(trace, edited).values())
    with pytest.raises(lab.InputError, match="begin with different tokens"):
        divergence(trace, qwen.trace(IDS[1:]))


def test_a_value_of_another_shape_differs_from_its_first_token_on():
    qwen = small(MOE)
    trace, other = qwen.trace(IDS), qwen.trace(IDS, "*", lab.routing(layer=1, top_k=1))
    assert divergence(trace, other) == ("layers.1.ffn.expert_ids", 0)
    assert token_gaps(trace, other)["layers.1.ffn.expert_ids"].tolist() == [torch.inf] * len(IDS)
