"""Made images that both training tests draw from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

CANVAS = 192


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sequences, two images of two things, two persons, two photos; objects are bright on dark."""
    root = tmp_path_factory.mktemp("training")
    rng = np.random.default_rng(0)

    def write(folder: str, name: str, ids: np.ndarray, suffixes: tuple[str, ...] = ("",)) -> None:
        (root / folder).mkdir(exist_ok=True)
        color = np.where(ids[..., None] == 1, 220, np.where(ids[..., None] > 1, 160, 40))
        image = np.clip(color + rng.normal(0, 5, (*ids.shape, 3)), 0, 255).astype(np.uint8)
        cv2.imwrite(str(root / folder / f"{name}.jpg"), image)
        for suffix in suffixes:
            cv2.imwrite(str(root / folder / f"{name}{suffix}.png"), ids)

    for sequence in ("seen", "held"):
        for t in range(4):
            ids = np.zeros((162, 288), np.uint8)
            cv2.circle(ids, (100 + 10 * t, 80), 35, 1, -1)
            write("davis2016_train", f"{sequence}_{2 * t:05d}", ids)
    for name in ("pair", "apart"):
        ids = np.zeros((180, 320), np.uint8)
        ids[60:130, 60:150] = 1
        ids[60:130, 150:230] = 2
        write("davis2017_challenge_first_frames", name, ids)
    for k in range(2):
        ids = np.zeros((288, 192), np.uint8)
        ids[80:150, 60:130] = 1
        ids[150:240, 60:130] = 2 + k
        write("clothing_co_parsing", f"{k:04d}", ids)
        ids = np.ones((192, 288), np.uint8)
        ids[:, 150:] = 2
        write("bsds500", f"10{k}", ids, ("_0", "_1"))
    return root


@pytest.fixture(scope="session")
def smooth_store() -> Any:
    """Four images of smooth clouds, each with a disc and a bar as regions."""
    torch = pytest.importorskip("torch")
    from training.data import KINDS, Regions, Store

    noise = torch.rand((4, 3, 10, 10), generator=torch.Generator().manual_seed(3))
    images = torch.nn.functional.interpolate(noise, (CANVAS, CANVAS), mode="bicubic").clamp(0.05, 0.95)
    ids = np.zeros((CANVAS, CANVAS), np.uint8)
    cv2.circle(ids, (70, 60), 45, 1, -1)
    ids[130:170, 20:170] = 2
    table = torch.zeros((8, 256), dtype=torch.uint8)
    table[:4, 1] = table[4:, 2] = 1
    box = torch.tensor([[25.0, 15, 116, 106]] * 4 + [[20.0, 130, 170, 170]] * 4)
    whose = torch.arange(4).repeat(2)
    kind = torch.tensor([KINDS.index("davis")] * 4 + [KINDS.index("segment")] * 4)
    regions = Regions(
        whose,
        torch.zeros(8, dtype=torch.long),
        table,
        box,
        kind,
        torch.ones(8),
        torch.full((8,), -1),
        torch.zeros(8, dtype=torch.bool),
    )
    sizes = torch.full((4, 2), float(CANVAS))
    return Store((images * 255).round().byte(), sizes, torch.from_numpy(ids)[None], regions)
