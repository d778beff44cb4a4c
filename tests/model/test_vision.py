"""The vision tower: at the real shapes, apart from other pictures, and with every value in sight."""

import pytest
import torch
from inputs.seeing import RAW, seeing
from reference import multimodal_reference, randomise, seeing_like
from torch.nn import functional as F
from transformers import Qwen3_5VisionConfig
from transformers.models.qwen3_5.modeling_qwen3_5 import Qwen3_5VisionModel

import qwen35_lab as lab
from qwen35_lab.checkpoint import name_map, official_name, vision_names
from qwen35_lab.config import ModelConfig, VisionConfig
from qwen35_lab.errors import ConfigError
from qwen35_lab.family import OFFICIAL, load_config, tensor_shapes
from qwen35_lab.model import MultimodalModel, TextModel, build, taps
from qwen35_lab.model.vision import VisionTower

GRIDS = [(1, 4, 6), (3, 2, 4), (1, 2, 2), (1, 10, 2)]


def pixels(config: VisionConfig, grids: list, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    values = config.in_channels * config.temporal_patch_size * config.patch_size**2
    count = sum(t * h * w for t, h, w in grids)
    return torch.randn(count, values, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


@pytest.fixture(scope="module")
def tower() -> VisionTower:
    return seeing_like(multimodal_reference(RAW, torch.float64), RAW).vision


# ---------------------------------------------------------------------- real shapes


@pytest.mark.slow
@pytest.mark.parametrize("name", ["0.8B", "4B", "27B"])
def test_the_published_towers_equal_transformers_in_float32(name: str) -> None:
    """12×768, 24×1024 and 27×1152, with weights of ordinary size, over images and a video."""
    config = load_config(name).vision
    assert config is not None
    raw = {k: v for k, v in load_config(name).raw["vision_config"].items() if k != "model_type"}
    reference = Qwen3_5VisionModel(Qwen3_5VisionConfig(**raw)).eval()
    randomise(reference, seed=1)
    with torch.device("meta"):
        tower = VisionTower(config)
    names = {ours: official for ours, official in vision_names(config).items()}
    state = reference.state_dict()
    ours = {n.removeprefix("vision."): state[o.removeprefix("visual.")] for n, o in names.items()}
    tower.load_state_dict(ours, assign=True)
    shown = pixels(config, GRIDS, dtype=torch.float32)
    with torch.no_grad():
        theirs = reference(shown, torch.tensor(GRIDS)).pooler_output
        found = tower(shown, GRIDS)
    assert theirs.abs().mean() > 0.1
    torch.testing.assert_close(found, theirs, atol=1e-4 * float(theirs.abs().max()), rtol=0)


@pytest.mark.parametrize("name", OFFICIAL)
def test_official_models_are_whole_and_have_the_tensors_of_the_published_files(name: str) -> None:
    config = load_config(name)
    with torch.device("meta"):
        model = build(config)
    assert isinstance(model, MultimodalModel)
    names = name_map(config.text) | vision_names(config.vision)
    found = {official_name(names[n], "model.language_model."): tuple(p.shape) for n, p in model.named_parameters()}
    assert found == tensor_shapes(config) and any(n.startswith("mtp.") for n in found)


def test_a_config_without_vision_makes_a_model_without_eyes() -> None:
    assert type(build(ModelConfig.from_dict(RAW["text_config"]))) is TextModel
    eyes = lab.from_config(RAW, seed=3).model
    blind = lab.from_config(RAW["text_config"], seed=3).model
    assert isinstance(eyes, MultimodalModel)
    for name, p in blind.named_parameters():
        assert torch.equal(p, eyes.get_parameter(name)), "the language model is the seed's, with eyes or without"
    assert all(p.isfinite().all() for p in eyes.parameters())


# ---------------------------------------------------------------------- what a patch may see


def test_pictures_and_frames_do_not_see_each_other(tower: VisionTower) -> None:
    shown = pixels(tower.config, GRIDS)
    with torch.no_grad():
        before = tower(shown, GRIDS)
        changed = shown.clone()
        changed[24 + 8 : 24 + 16] += 1  # the second frame of the video
        after = tower(changed, GRIDS)
        alone = torch.cat([tower(part, [grid]) for part, grid in zip(shown.split([24, 24, 4, 20]), GRIDS, strict=True)])
    moved = (before - after).abs().amax(1) > 0
    assert moved.nonzero()[:, 0].tolist() == [8, 9], "only the cells of that frame"
    torch.testing.assert_close(alone, before, atol=1e-12, rtol=0)


def test_positions_are_the_table_stretched_with_its_corners_kept(tower: VisionTower) -> None:
    """One number at a time, and the table itself where the grid is its own size."""
    table = tower.pos_embed.weight.view(4, 4, -1)
    (same,) = tower.stretched([(1, 4, 4)])[None]
    order = [(r + a, c + b) for r in (0, 2) for c in (0, 2) for a in (0, 1) for b in (0, 1)]
    torch.testing.assert_close(same, torch.stack([table[r, c] for r, c in order]), atol=1e-12, rtol=0)
    rows, columns = 6, 2
    found = tower.stretched([(2, rows, columns)])
    assert torch.equal(found[:12], found[12:]), "the same for every frame"
    n = 0
    for r0 in range(0, rows, 2):
        for r, c in ((r0, 0), (r0, 1), (r0 + 1, 0), (r0 + 1, 1)):
            y, x = r * 3 / (rows - 1), c * 3 / (columns - 1)
            top, left = min(int(y), 2), min(int(x), 2)
            dy, dx = y - top, x - left
            expected = (
                (1 - dy) * (1 - dx) * table[top, left] + (1 - dy) * dx * table[top, left + 1]
                + dy * (1 - dx) * table[top + 1, left] + dy * dx * table[top + 1, left + 1]
            )  # fmt: skip
            torch.testing.assert_close(found[n], expected, atol=1e-12, rtol=0)
            n += 1


# ---------------------------------------------------------------------- taps


def collect(tower: VisionTower, names: list[str], shown: torch.Tensor) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    found: dict[str, torch.Tensor] = {}
    handles = [
        tower.get_submodule(name).register_forward_hook(lambda m, i, value, name=name: found.__setitem__(name, value))
        for name in names
    ]
    with torch.no_grad():
        out = tower(shown, GRIDS)
    for handle in handles:
        handle.remove()
    return found, out


def test_every_value_of_the_tower_has_a_name_its_axes_and_its_shape(tower: VisionTower) -> None:
    block = ["input", "after_attention", "mlp.out", "output"]
    block += [f"attention.{name}" for name in ("q", "k", "v", "scores", "weights", "out")]
    expected = {"patches", "positions", "merged"} | {f"blocks.{n}.{name}" for n in range(2) for name in block}
    there = dict(taps(tower))
    assert set(there) == expected
    found, _ = collect(tower, list(there), pixels(tower.config, GRIDS))
    for name, tap in there.items():
        assert found[name].shape == tap.shape(1, 5, patches=72, cells=18), name


def test_seeing_all_values_changes_none_and_they_obey_the_equations(tower: VisionTower) -> None:
    shown = pixels(tower.config, GRIDS)
    with torch.no_grad():
        before = tower(shown, GRIDS)
    found, watched = collect(tower, [name for name, _ in taps(tower)], shown)
    torch.testing.assert_close(watched, before, atol=1e-12, rtol=0)
    close = lambda a, b: torch.testing.assert_close(a, b, atol=1e-12, rtol=1e-12)  # noqa: E731
    close(found["patches"] + found["positions"], found["blocks.0.input"])
    at = lambda name: found[f"blocks.1.{name}"]  # noqa: E731
    close(at("input"), found["blocks.0.output"])
    close(at("input") + at("attention.out"), at("after_attention"))
    close(at("after_attention") + at("mlp.out"), at("output"))
    weights = at("attention.weights")
    close(weights.sum(-1), torch.ones_like(weights[..., 0]))
    close(weights, at("attention.scores").softmax(-1))
    frame = torch.tensor([24, 8, 8, 8, 4, 20]).cumsum(0)
    frame = torch.bucketize(torch.arange(72), frame, right=True)
    assert bool((weights[0, :, frame[:, None] != frame] == 0).all())
    y = torch.einsum("bhps,bshd->bphd", weights, at("attention.v")).flatten(2)
    attention = tower.get_submodule("blocks.1.attention")
    close(F.linear(y, attention.proj.weight, attention.proj.bias), at("attention.out"))
    close(found["merged"][0], watched)


def test_an_edit_of_a_cell_is_what_the_language_model_sees() -> None:
    qwen = seeing()
    picture = torch.zeros(8, 8, 3, dtype=torch.uint8).numpy()
    plain = qwen.trace("what?", ["embed", "vision.merged", "logits"], images=picture)
    edit = lab.edit("vision.merged", cell=2).scale(3)
    edited = qwen.trace("what?", ["embed", "vision.merged", "logits"], edit, images=picture)
    changed = (edited["embed"] != plain["embed"]).any(1).nonzero()[:, 0].tolist()
    assert changed == [1 + 2], "after <|vision_start|> and two other cells"
    assert torch.equal(edited["vision.merged"].at(cell=2), 3 * plain["vision.merged"].at(cell=2))
    assert (edited["logits"][3:] != plain["logits"][3:]).any(1).all()
    assert torch.equal(edited["logits"][:3], plain["logits"][:3])


# ---------------------------------------------------------------------- configs and dtypes


@pytest.mark.parametrize(
    ("change", "words"),
    [({"num_heads": 8}, "2 features per head"), ({"hidden_act": "tanhshrink"}, "hidden_act` is 'tanhshrink'")],
)
def test_towers_that_cannot_be_are_refused(change: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        build(ModelConfig.from_dict(RAW | {"vision_config": RAW["vision_config"] | change}))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_as_close_to_float64_as_transformers(dtype: torch.dtype) -> None:
    narrow = multimodal_reference(RAW).to(dtype)
    exact = multimodal_reference(RAW, torch.float64)
    exact.load_state_dict({k: v.double() for k, v in narrow.state_dict().items()})
    ours = seeing_like(narrow, RAW).vision
    shown = pixels(ours.config, GRIDS).to(dtype)
    with torch.no_grad():
        truth = exact.model.visual(shown.double(), torch.tensor(GRIDS)).pooler_output
        theirs = (narrow.model.visual(shown, torch.tensor(GRIDS)).pooler_output.double() - truth).abs().mean()
        found = ours(shown, GRIDS)
    assert found.dtype == dtype
    assert (found.double() - truth).abs().mean() <= 1.2 * theirs
