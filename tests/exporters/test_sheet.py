import numpy as np
import pytest
from PIL import Image

from sampt.exporters.overlay import OverlayStyle
from sampt.exporters.sheet import ContactSheet
from sampt.types import FrameMasks
from tests.results import context, shown

PLAIN = OverlayStyle(alpha=0, contours=False, points=False, labels=False)


def sheet_of(tmp_path, num_frames, *, known=True, size_hw=(90, 160), **options):
    """The PNG made of frames of which the i-th is a plain grey of value 40 + i."""
    sheet = ContactSheet(tmp_path / "s.png", context(num_frames=num_frames if known else None), style=PLAIN, **options)
    for i in range(num_frames):
        frame = np.full((*size_hw, 3), (40 + i) % 256, np.uint8)
        sheet.write(shown(FrameMasks(i, [], np.zeros((0, *size_hw)), [], []), f"{i:05d}", frame))
    sheet.close(success=True)
    return np.asarray(Image.open(tmp_path / "s.png"))


def values(image, columns, rows, cell_hw):
    found = []
    for k in range(columns * rows):
        y, x = 8 + k // columns * (cell_hw[0] + 34), 8 + k % columns * (cell_hw[1] + 8)
        if y < image.shape[0] and x < image.shape[1]:
            found.append(int(image[y + 5, x + 5, 0]) - 40)
    return found


def test_sheet_shows_evenly_spaced_frames_with_first_and_last(tmp_path):
    image = sheet_of(tmp_path, 100)
    assert image.shape == (3 * (219 + 34) + 8, 1592 + 8, 3)
    assert values(image, 4, 3, (219, 390)) == [0, 9, 18, 27, 36, 45, 54, 63, 72, 81, 90, 99]


@pytest.mark.parametrize(("num_frames", "shape", "expected"), [(1, (261, 406), [0]), (5, (514, 1600), [0, 1, 2, 3, 4])])
def test_short_video_makes_a_smaller_sheet(tmp_path, num_frames, shape, expected):
    image = sheet_of(tmp_path, num_frames)
    assert image.shape[:2] == shape
    assert values(image, 4, 2, (219, 390))[:num_frames] == expected


def test_unknown_length_keeps_a_regular_step_and_the_last_frame(tmp_path):
    image = sheet_of(tmp_path, 100, known=False)
    found = values(image, 4, 3, (219, 390))
    assert [v for v in found if v >= 0][:8] == [0, 16, 32, 48, 64, 80, 96, 99]


def test_unknown_length_with_as_many_frames_as_cells_shows_all(tmp_path):
    assert values(sheet_of(tmp_path, 12, known=False), 4, 3, (219, 390)) == list(range(12))


def test_other_grid(tmp_path):
    image = sheet_of(tmp_path, 30, columns=2, rows=2)
    assert image.shape[1] == 1600
    assert values(image, 2, 2, (445, 788)) == [0, 10, 19, 29]


def test_small_image_shows_the_mask_at_its_location(tmp_path):
    sheet = ContactSheet(
        tmp_path / "s.png", context(num_frames=1), style=OverlayStyle(contours=False, points=False, labels=False)
    )
    mask = np.zeros((1, 900, 1600), np.bool_)
    mask[0, 450:, 800:] = True
    sheet.write(shown(FrameMasks(0, [2], mask, [1], [0]), image=np.zeros((900, 1600, 3), np.uint8)))
    sheet.close(success=True)
    cell = np.asarray(Image.open(tmp_path / "s.png"))[8 : 8 + 219, 8 : 8 + 390]
    tinted = (cell > 0).any(2)
    assert tinted[115:, 200:].all()
    assert not tinted[:105].any()
    assert not tinted[:, :190].any()


def test_failed_or_empty_run_makes_no_sheet(tmp_path):
    sheet = ContactSheet(tmp_path / "s.png", context(num_frames=1))
    sheet.write(shown(FrameMasks(0, [], np.zeros((0, 9, 9)), [], []), image=np.zeros((9, 9, 3), np.uint8)))
    sheet.close(success=False)
    ContactSheet(tmp_path / "s.png", context()).close(success=True)
    assert list(tmp_path.iterdir()) == []
