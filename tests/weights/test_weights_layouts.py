"""The layouts in which users have checkpoints: each loads into its network to the last value, by that network's own loader."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is one of the [sam] extras")
pytest.importorskip("transformers", reason="transformers is one of the [sam] extras")

from safetensors.torch import save_file  # noqa: E402

from sampt.errors import BackendError  # noqa: E402
from sampt.segmenters.sam.checkpoint import fill_random, load_weights, read_state  # noqa: E402
from sampt.segmenters.sam.models import MODELS  # noqa: E402
from sampt.segmenters.sam.network import VitSizes, build_vit  # noqa: E402
from sampt.segmenters.sam2.network import HieraSizes, build  # noqa: E402
from sampt.trackers.cotracker import adapter as cotracker  # noqa: E402
from sampt.trackers.cotracker.network import CoTrackerSizes  # noqa: E402
from sampt.trackers.pips import adapter as pips  # noqa: E402
from sampt.trackers.pips.encoder import EncoderSizes  # noqa: E402
from sampt.trackers.pips.network import PipsSizes  # noqa: E402
from sampt.weights.checkpoint import load_checkpoint  # noqa: E402

State = dict[str, Any]
PIPS = PipsSizes(8, EncoderSizes(4, (8, 8, 8, 8), 16), width=32, depth=2)
COTRACKER = CoTrackerSizes(8, (48, 64), 16, 32, 2, 2, 4, 16, 8, radius=2, levels=3)
HIERA = HieraSizes(16, 1, (1, 1, 2, 1), (3,), side=128)
VIT = VitSizes(width=32, depth=2, heads=2, global_layers=(1,), side=128)


def segmenter(name: str, make: Callable[[], Any]) -> Callable[[Path | None], Any]:
    """What loads a reduced network of the family as the segmenter of this name loads its own."""

    @cache
    def made() -> Any:
        with torch.random.fork_rng(devices=[]):
            network = make()
        fill_random(network)
        return network

    def load(path: Path | None) -> Any:
        network = made()
        if path is not None:
            for value in network.parameters():
                value.zero_()
            load_weights(network, read_state(path, MODELS[name]), path, MODELS[name])
        return network

    return load


def tracker(load: Callable[[Path | None], Any]) -> Callable[[Path | None], Any]:
    """The same of a tracker; what is loaded differs from what a new network has."""

    def loaded(path: Path | None) -> Any:
        network = load(path)
        if path is None:
            for value in network.parameters():
                value.add_(0.25)
        return network

    return loaded


NETWORKS = {
    "pips": tracker(lambda path: pips.load_network(path, PIPS)),
    "cotracker3-offline": tracker(lambda path: cotracker.load_network("cotracker3-offline", path, COTRACKER)),
    "sam-vit-b": segmenter("sam-vit-b", lambda: build_vit(VIT)),
    "sam2.1-tiny": segmenter("sam2.1-tiny", lambda: build(HIERA)),
}


def prefixed(state: State, prefix: str) -> State:
    return {prefix + name: value for name, value in state.items()}


LAYOUTS: dict[str, Callable[[State], Any]] = {
    "flat": lambda state: state,
    "several GPUs": lambda state: prefixed(state, "module."),
    "container of PIPS": lambda state: {
        "model_state_dict": prefixed(state, "module."),
        "optimizer_state_dict": {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"lr": 5e-4}]},
    },
    "training of SAM 2": lambda state: {"model": state, "optimizer": {"state": {}}, "epoch": 40, "steps": {"train": 9}},
    "Lightning": lambda state: {
        "epoch": 3,
        "global_step": 100,
        "pytorch-lightning_version": "2.4.0",
        "state_dict": prefixed(state, "model."),
        "callbacks": {"checkpoint": {"best": 0.7}},
        "optimizer_states": [{"state": {}, "param_groups": []}],
        "hyper_parameters": {"lr": 1e-4},
    },
    "Lightning, compiled, several GPUs": lambda state: {"state_dict": prefixed(state, "net._orig_mod.module.")},
}


@pytest.mark.parametrize("name", NETWORKS)
def test_every_layout_loads_to_the_last_value(name: str, tmp_path: Path) -> None:
    load = NETWORKS[name]
    state = {key: value.clone() for key, value in load(None).state_dict().items()}
    for k, (layout, pack) in enumerate(LAYOUTS.items()):
        path = tmp_path / f"{k}.pth"
        torch.save(pack(state), path)
        loaded = load(path).state_dict()
        assert loaded.keys() == state.keys(), layout
        assert all(torch.equal(loaded[key], value) for key, value in state.items()), layout


def test_names_of_the_authors_and_of_the_hub_give_sam2_the_same_weights(tmp_path: Path) -> None:
    load = NETWORKS["sam2.1-tiny"]
    ours = {key: value.clone() for key, value in load(None).state_dict().items()}
    frequencies = "prompt_encoder.shared_embedding.positional_embedding"
    hub = {key: value.clone() for key, value in ours.items()}
    hub |= {"shared_image_embedding.positional_embedding": ours[frequencies].clone(), "no_object_pointer": torch.zeros(1, 256)}
    (tmp_path / "hub").mkdir()
    save_file(hub, tmp_path / "hub" / "model.safetensors")
    authors = by_authors(ours) | {"maskmem_tpos_enc": torch.zeros(7, 1, 1, 64)}
    torch.save({"model": authors}, tmp_path / "sam2.1_hiera_tiny.pt")
    torch.save({"state_dict": prefixed(authors, "module.")}, tmp_path / "fine-tuned.ckpt")
    for path in (tmp_path / "hub", tmp_path / "sam2.1_hiera_tiny.pt", tmp_path / "fine-tuned.ckpt"):
        loaded = load(path).state_dict()
        assert loaded.keys() == ours.keys()
        assert all(torch.equal(loaded[key], value) for key, value in ours.items()), path.name


def by_authors(state: State) -> State:
    """A reduced SAM 2.1 by the names of its official program, spelt out here, not derived from how they are read."""
    out = {}
    for key, value in state.items():
        part, _, rest = key.partition(".")
        if part == "vision_encoder":
            rest = rest.replace("backbone.", "trunk.").replace("patch_embed.projection.", "patch_embed.proj.")
            rest = _as_block(rest)
            if rest.startswith("neck.convs."):
                *start, kind = rest.split(".")
                rest = ".".join([*start, "conv", kind])
            out[f"image_encoder.{rest}"] = value
        elif part == "no_memory_embedding":
            out["no_mem_embed"] = value
        elif rest == "point_embed.weight":
            out |= {f"sam_prompt_encoder.point_embeddings.{k}.weight": value[k : k + 1].clone() for k in range(4)}
        else:
            out[f"sam_{part}.{_part_of_decoder(rest)}"] = value
    return out


def _as_block(name: str) -> str:
    """Norms and perceptrons of a transformer's blocks."""
    return name.replace("layer_norm", "norm").replace("mlp.proj_in.", "mlp.layers.0.").replace("mlp.proj_out.", "mlp.layers.1.")


def _part_of_decoder(name: str) -> str:
    for ours, theirs in (
        ("shared_embedding.positional_embedding", "pe_layer.positional_encoding_gaussian_matrix"),
        ("mask_embed.conv1.", "mask_downscaling.0."),
        ("mask_embed.layer_norm1.", "mask_downscaling.1."),
        ("mask_embed.conv2.", "mask_downscaling.3."),
        ("mask_embed.layer_norm2.", "mask_downscaling.4."),
        ("mask_embed.conv3.", "mask_downscaling.6."),
        ("upscale_conv1.", "output_upscaling.0."),
        ("upscale_layer_norm.", "output_upscaling.1."),
        ("upscale_conv2.", "output_upscaling.3."),
        ("layer_norm_final_attn.", "norm_final_attn."),
        (".o_proj.", ".out_proj."),
    ):
        name = name.replace(ours, theirs)
    if name.startswith("transformer."):
        return _as_block(name)
    return name.replace(".layers.0.", ".layers.1.").replace(".proj_in.", ".layers.0.").replace(".proj_out.", ".layers.2.")


def test_a_prefix_of_some_names_alone_is_part_of_them(tmp_path: Path) -> None:
    state = {"model.a": torch.zeros(1), "b": torch.ones(1)}
    torch.save(state, tmp_path / "w.pth")
    assert load_checkpoint(tmp_path / "w.pth").keys() == state.keys()
    torch.save({"state_dict": prefixed(NETWORKS["pips"](None).state_dict(), "teacher.")}, tmp_path / "teacher.ckpt")
    with pytest.raises(BackendError, match=r"'pips' got weights of another network in .*teacher\.ckpt"):
        NETWORKS["pips"](tmp_path / "teacher.ckpt")
