import numpy as np
from PIL import Image

from sampt.files.palette import PALETTE, colour_of, display_colour_of


def test_first_rows_are_those_of_davis():
    expected = [(0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128), (128, 0, 128), (0, 128, 128), (128, 128, 128)]
    assert [colour_of(i) for i in range(8)] == expected
    assert colour_of(8) == (64, 0, 0)
    assert colour_of(255) == (224, 224, 192)


def test_all_256_colours_differ():
    assert PALETTE.shape == (256, 3)
    assert len(np.unique(PALETTE, axis=0)) == 256


def test_ids_beyond_the_palette_go_round_without_the_background():
    assert colour_of(256) == colour_of(1)
    assert colour_of(510) == colour_of(255)
    assert colour_of(511) == colour_of(1)


def test_display_colours_of_many_objects_differ_and_are_bright():
    colours = [display_colour_of(i) for i in range(1, 101)]
    assert len(set(colours)) == 100
    assert min(max(colour) for colour in colours) >= 200


def test_palette_is_what_pillow_reads_back(tmp_path):
    image = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16))
    image.putpalette(PALETTE.tobytes())
    image.save(tmp_path / "p.png")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "p.png").convert("RGB")).reshape(256, 3), PALETTE)
