"""How a network computes: where, in which numbers, compiled or not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is one of the [torch] extras")

from torch import Tensor, nn  # noqa: E402

from sampt.backends.registry import list_choices  # noqa: E402
from sampt.backends.torch_networks import compiling, put_on_device  # noqa: E402
from sampt.errors import BackendError  # noqa: E402
from sampt.trackers.create import create_tracker  # noqa: E402
from sampt.types import Points  # noqa: E402
from sampt.video.array import ArrayVideo  # noqa: E402

SHARED = Path(__file__).resolve().parents[3] / "shared"
RAFT = SHARED / "weights" / "raft-small.pth"
needs_shared = pytest.mark.skipif(not RAFT.is_file(), reason="the project's shared data is not beside this checkout")

pytestmark = pytest.mark.slow  # compilers and large networks: minutes

LEARNED = {
    "raft": {"fnet", "cnet", "update_block"},
    "raft-small": {"fnet", "cnet", "update_block"},
    "pips": {"fnet", "delta_block"},
    "pips-pp": {"fnet", "delta_block"},
    "tapir": {"resnet_torch", "torch_pips_mixer"},
    "bootstapir": {"resnet_torch", "extra_convs", "torch_pips_mixer"},
    "bootstapir-causal": {"resnet_torch", "extra_convs", "torch_pips_mixer"},
    "tapnet": {"resnet"},
    "tapnext": {"blocks.0", "blocks.11"},
    "cotracker-v1": {"fnet", "updateformer"},
    "cotracker3-offline": {"fnet", "updateformer", "corr_mlp"},
    "cotracker3-online": {"fnet", "updateformer", "corr_mlp"},
}
"""Parts of each network, by their official names, that must be called the way that was chosen."""


class Twice(nn.Module):
    """A hot part, a product, and a cold one that needs all digits."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.product = nn.Linear(8, 8)

    def forward(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        made = self.product(rows)
        return made, made + 1000.0


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_a_short_precision_is_that_of_the_hot_parts_alone(precision: str) -> None:
    rows, network = torch.randn(5, 8, generator=torch.Generator().manual_seed(1)), Twice()
    exact, _ = network(rows)
    assert put_on_device(network, [network.product], "twice", "cpu", precision=precision) == torch.device("cpu")
    made, moved = network(rows)
    assert made.dtype == moved.dtype == network.product.weight.dtype == torch.float32
    assert 0 < (made - exact).abs().max() < 0.05  # computed in fewer digits
    assert torch.equal(moved, made + 1000.0)  # which bfloat16 would round to steps of 4


@pytest.mark.parametrize(("precision", "runtime"), [("float32", "torch"), ("auto", "auto")])
def test_the_usual_choice_changes_nothing(precision: str, runtime: str) -> None:
    rows, network = torch.randn(5, 8), Twice()
    exact, _ = network(rows)
    put_on_device(network, [network.product], "twice", "cpu", precision=precision, runtime=runtime)
    assert torch.equal(network(rows)[0], exact)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "fp8"}, r"'twice' has no precision 'fp8'; expected one of: auto, float32, bfloat16, float16\."),
        ({"runtime": "openvino"}, r"'twice' has no runtime 'openvino'; expected one of: auto, torch, compiled\."),
    ],
)
def test_what_there_is_not_is_refused(options: dict[str, str], message: str) -> None:
    network = Twice()
    with pytest.raises(BackendError, match=message):
        put_on_device(network, [network.product], "twice", "cpu", **options)


def test_a_back_end_that_offers_some_values_refuses_the_others() -> None:
    assert list_choices("tracker", "raft-small")["runtime"] == ("auto", "torch", "compiled")
    with pytest.raises(BackendError, match=r"'raft-small' has no runtime 'openvino'; expected one of: auto, torch, compiled\."):
        create_tracker("raft-small", weights=None, device="cpu", runtime="openvino")


@pytest.mark.parametrize("name", LEARNED)
def test_every_learned_tracker_computes_its_heavy_parts_as_asked(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is called while a real clip is tracked, with random weights: each heavy part, each in bfloat16."""
    networks: list[nn.Module] = []
    initialise = nn.Module.__init__

    def noted(module: nn.Module, *args: Any, **named: Any) -> None:
        initialise(module, *args, **named)
        networks.append(module)

    monkeypatch.setattr(nn.Module, "__init__", noted)
    tracker = create_tracker(name, weights=None, device="cpu", precision="bfloat16")
    monkeypatch.undo()
    network = networks[0]  # the outermost one is begun first
    seen: dict[str, set[torch.dtype]] = {}
    heavy = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
    for part, module in network.named_modules():
        if isinstance(module, heavy):

            def note(_module: nn.Module, _given: Any, made: Tensor, part: str = part) -> None:
                seen.setdefault(part, set()).add(made.dtype)

            module.register_forward_hook(note)
    frames = np.random.default_rng(0).integers(0, 256, (3, 64, 96, 3), dtype=np.uint8)
    tracks = tracker.track(ArrayVideo(frames), Points.of(1, 0, np.array([[40.0, 30.0]], np.float32)))
    assert np.isfinite(tracks.xy).all()
    for part in LEARNED[name]:
        within = [dtypes for key, dtypes in seen.items() if key == part or key.startswith(part + ".")]
        assert within, f"{part} was not called"
        assert all(dtypes == {torch.bfloat16} for dtypes in within), part


@needs_shared
def test_bfloat16_moves_real_points_by_less_than_a_pixel() -> None:
    folder = SHARED / "davis" / "JPEGImages" / "480p" / "camel"
    frames = np.stack([cv2.resize(cv2.imread(str(folder / f"{k:05}.jpg"))[..., ::-1], (320, 180)) for k in range(4)])
    points = Points.of(1, 0, np.array([[150.0, 60.0], [120.0, 80.0], [200.0, 90.0]], np.float32))
    found = {
        precision: create_tracker("raft-small", weights=str(RAFT), device="cpu", precision=precision).track(
            ArrayVideo(frames), points
        )
        for precision in ("float32", "bfloat16")
    }
    moved = np.abs(found["bfloat16"].xy - found["float32"].xy)
    assert 0 < moved.max() < 1
    assert np.array_equal(found["bfloat16"].visible, found["float32"].visible)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # PyTorch's compiler uses what PyTorch has deprecated
def test_compiled_parts_give_the_same() -> None:
    rows, network = torch.randn(5, 8), Twice()
    exact, _ = network(rows)
    put_on_device(network, [network.product], "twice", "cpu", runtime="compiled")
    try:
        made, _ = network(rows)
    except BackendError as error:
        if "InvalidCxxCompiler" not in str(error):
            raise
        pytest.skip("no C++ compiler")
    assert torch.allclose(made, exact, atol=1e-5)


def test_errors_of_this_library_are_not_taken_for_those_of_a_compiler() -> None:
    with pytest.raises(BackendError, match="mine"), compiling("tiny"):
        raise BackendError("mine")
