"""TAPNext and TAPNext++: official checkpoints, with JAX names and PyTorch ones, and files that are none."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is one of the [torch] extras")

from sampt.errors import BackendError  # noqa: E402
from sampt.trackers import tapnext  # noqa: E402
from sampt.trackers.tapnext.adapter import TapNextTracker, load_network  # noqa: E402
from sampt.trackers.tapnext.network import TapNextNetwork, TapNextSizes  # noqa: E402

SMALL = TapNextSizes((64, 64), width=32, heads=2, lru_width=48, depth=2, bins=64)


@pytest.fixture(scope="module")
def small() -> TapNextNetwork:
    return load_network("tapnext", None, SMALL)


def jax_names(state: dict[str, torch.Tensor], heads: int) -> Iterator[tuple[str, np.ndarray]]:
    """The inverse of the conversion, written down anew: official JAX names and layouts of a state dict of the network."""
    top = {"lin_proj.bias": "backbone/embedding/bias", "image_pos_emb": "backbone/pos_embedding"}
    vit = {"ln_1": "LayerNorm_0", "ln_2": "LayerNorm_1", "mlp.0": "MlpBlock_0/Dense_0", "mlp.3": "MlpBlock_0/Dense_1"}
    for name, tensor in state.items():
        value, (module, _, last) = tensor.numpy(), name.rpartition(".")
        if name == "query_pos_embed":
            continue
        if name == "lin_proj.weight":
            yield "backbone/embedding/kernel", value.transpose(2, 3, 1, 0)[None]
        elif name in top or name.endswith("_token"):
            yield top.get(name, f"backbone/{name}"), value
        elif ".vit_block." in name:
            _, layer, _, part = name.split(".", 3)
            prefix = f"backbone/Transformer/encoderblock_{layer}/vit_block"
            if "in_proj" in part:
                each = value.reshape(3, heads, -1, *value.shape[1:])
                kind = "kernel" if part.endswith("weight") else "bias"
                for which, own in zip(("query", "key", "value"), each, strict=True):
                    yield (
                        f"{prefix}/MultiHeadDotProductAttention_0/{which}/{kind}",
                        np.moveaxis(own, -1, 0) if own.ndim == 3 else own,
                    )
            elif part == "self_attention.out_proj.weight":
                yield f"{prefix}/MultiHeadDotProductAttention_0/out/kernel", value.T.reshape(heads, -1, len(value))
            elif part == "self_attention.out_proj.bias":
                yield f"{prefix}/MultiHeadDotProductAttention_0/out/bias", value
            else:
                own_name = vit[part.rpartition(".")[0]]
                kind = "bias" if last == "bias" else "scale" if "LayerNorm" in own_name else "kernel"
                yield f"{prefix}/{own_name}/{kind}", value.T if kind == "kernel" else value
        elif ".ssm_block." in name:
            inner = name.replace("blocks.", "backbone/Transformer/encoderblock_").replace(".", "/")
            yield inner.replace("/weight", "/kernel"), value.T if last == "weight" else value
        else:
            prefix = "backbone/Transformer/encoder_norm" if "norm" in module else module.replace(".", "/layers_")
            kind = "bias" if last == "bias" else "kernel" if value.ndim == 2 else "scale"
            yield f"{prefix}/{kind}", value.T if kind == "kernel" else value


def test_jax_checkpoint_gives_the_same_network(tmp_path: Path, small: TapNextNetwork) -> None:
    arrays = dict(jax_names(small.state_dict(), SMALL.heads))
    assert arrays["backbone/Transformer/encoderblock_1/vit_block/MultiHeadDotProductAttention_0/query/kernel"].shape == (
        32,
        2,
        16,
    )
    assert arrays["backbone/embedding/kernel"].shape == (1, 8, 8, 3, 32)
    assert arrays["backbone/Transformer/encoderblock_0/ssm_block/recurrent_block/linear_x/kernel"].shape == (32, 48)
    np.savez(tmp_path / "jax.npz", **arrays)
    loaded = load_network("tapnext", str(tmp_path / "jax.npz"), SMALL).state_dict()
    assert all(torch.equal(value, loaded[name]) for name, value in small.state_dict().items())
    arrays.pop("backbone/Transformer/encoderblock_1/vit_block/MultiHeadDotProductAttention_0/key/kernel")
    np.savez(tmp_path / "half.npz", **arrays)
    with pytest.raises(BackendError, match=r"3 parameters are missing.* the first is 'blocks\.1\.vit_block\.self_att"):
        load_network("tapnext", str(tmp_path / "half.npz"), SMALL)


def test_pytorch_checkpoint_of_a_training_run_loads(tmp_path: Path, small: TapNextNetwork) -> None:
    state = {f"tapnext.{name}": value for name, value in small.state_dict().items()}
    torch.save({"state_dict": state, "epoch": 3, "optimizer_states": []}, tmp_path / "pp.ckpt")
    loaded = load_network("tapnext-pp", str(tmp_path / "pp.ckpt"), SMALL)
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in small.state_dict().items())
    assert not any(value.is_meta or value.requires_grad for value in (*loaded.parameters(), *loaded.buffers()))


def test_wrong_files_are_refused_in_one_line(tmp_path: Path, small: TapNextNetwork) -> None:
    def message(content: object, create: Callable[..., TapNextTracker] = tapnext.create) -> str:
        path = tmp_path / "w.pt"
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            torch.save(content, path)
        with pytest.raises(BackendError) as caught:
            create(weights=str(path), device="cpu")
        assert "\n" not in str(caught.value)
        return str(caught.value).replace(str(path), "FILE")

    state = dict(small.state_dict())
    smaller = message({"state_dict": state}, tapnext.create_pp_512)
    assert smaller.startswith("'tapnext-pp-512' got weights of another network in FILE: ")
    assert smaller.endswith(" Expected an official checkpoint of TAPNext or TAPNext++.")
    assert "the first is 'blocks.0.ssm_block" in message({"backbone/pos_embedding": torch.zeros(1, 1024, 768)})
    assert message(b"no checkpoint").startswith("FILE cannot be read as weights (it is no file of PyTorch, or damaged)")
    assert message({"optimizer": {}}).startswith("FILE holds the keys 'optimizer', expected names with tensors; give an")
    with pytest.raises(BackendError, match=r"^No file of weights is at .*none\.npz; expected a checkpoint"):
        tapnext.create(weights=str(tmp_path / "none.npz"))
    del state["blocks.1.vit_block.ln_1.bias"]
    torch.save(state, tmp_path / "half.pt")
    with pytest.raises(BackendError, match=r"1 parameters are missing.*'blocks\.1\.vit_block\.ln_1\.bias'"):
        load_network("tapnext-pp", str(tmp_path / "half.pt"), SMALL)


@pytest.mark.parametrize(
    ("create", "name", "file"),
    [
        (tapnext.create, "tapnext", "bootstapnext_ckpt.npz"),
        (tapnext.create_pp, "tapnext-pp", "tapnextpp_ckpt.pt"),
        (tapnext.create_pp_512, "tapnext-pp-512", "tapnextpp_512.ckpt"),
    ],
)
def test_default_weights_offline_are_refused_with_the_location_to_get_them(
    create: Callable[..., TapNextTracker], name: str, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAMPT_OFFLINE", "1")
    monkeypatch.setenv("SAMPT_WEIGHTS_DIR", str(tmp_path))
    with pytest.raises(BackendError, match=rf"^'{name}' is not in the cache and SAMPT_OFFLINE is set; .*/{file}") as caught:
        create()
    assert str(tmp_path / file) in str(caught.value)


def test_random_weights_are_always_the_same_and_touch_no_global_generator(small: TapNextNetwork) -> None:
    before = torch.get_rng_state()
    again = load_network("tapnext", None, SMALL).state_dict()
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(value, again[name]) for name, value in small.state_dict().items())


def test_without_pytorch_the_error_says_what_to_install() -> None:
    code = """
import sys
sys.modules["torch"] = None  # importing it fails, as where it is not installed
from sampt.trackers.tapnext import create, create_pp_512
for make in (create, create_pp_512):
    try:
        make()
    except Exception as error:
        print(type(error).__name__, error)
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    first, second = done.stdout.splitlines()
    assert first.startswith("BackendError 'tapnext' needs PyTorch (")
    assert second.startswith("BackendError 'tapnext-pp-512' needs PyTorch (")
    assert first.endswith("Run: pip install 'sampt[torch]'.")
