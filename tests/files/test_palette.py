import cv2
import numpy as np
from PIL import Image

from sampt.files.palette import PALETTE, pick_color, pick_display_color


def test_first_rows_are_those_of_davis():
    expected = [(0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128), (128, 0, 128), (0, 128, 128), (128, 128, 128)]
    assert [pick_color(i) for i in range(8)] == expected
    assert pick_color(8) == (64, 0, 0)
    assert pick_color(255) == (224, 224, 192)


def test_all_256_colors_differ():
    assert PALETTE.shape == (256, 3)
    assert len(np.unique(PALETTE, axis=0)) == 256


def test_ids_beyond_the_palette_go_round_without_the_background():
    assert pick_color(256) == pick_color(1)
    assert pick_color(510) == pick_color(255)
    assert pick_color(511) == pick_color(1)


def test_display_colors_of_many_objects_differ_and_are_bright():
    colors = [pick_display_color(i) for i in range(1, 101)]
    assert len(set(colors)) == 100
    assert min(max(color) for color in colors) >= 200
    lab = cv2.cvtColor(np.array([colors[:40]], np.float32) / 255, cv2.COLOR_RGB2LAB)[0]
    apart = np.linalg.norm(lab[:, None] - lab[None], axis=2) + 1000 * np.eye(40)
    assert apart.min() > 18  # of 2.3 that a person just sees


def test_palette_is_what_pillow_reads_back(tmp_path):
    image = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16))
    image.putpalette(PALETTE.tobytes())
    image.save(tmp_path / "p.png")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "p.png").convert("RGB")).reshape(256, 3), PALETTE)
