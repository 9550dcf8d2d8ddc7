"""Images in rows, each with its name below, under the name of the sheet."""

import numpy as np
import pytest
from PIL import Image

from medbundles.reports.contact_sheet import GAP, ContactSheet
from medbundles.reports.panels import LINE


def sheet_of(path, names, channels):
    sheet = ContactSheet()
    for name in names:
        sheet.add(name, np.full((channels, 40, 100), 0.5))
    sheet.write(path)
    return np.asarray(Image.open(path).convert("L")).astype(int)


@pytest.mark.parametrize("channels", [1, 3])
def test_each_image_has_its_name_below_and_the_sheet_its_own_above(tmp_path, channels):
    names = [f"a_to_b/{i:02d}" for i in range(9)]
    pixels = sheet_of(tmp_path / "a_to_b.png", names, channels)
    assert pixels.shape == (LINE + 2 * (40 + LINE + GAP), GAP + 8 * (100 + GAP))
    assert pixels[:LINE].min() < 60
    labels = []
    for number in range(9):
        top, left = LINE + number // 8 * (40 + LINE + GAP), GAP + number % 8 * (100 + GAP)
        assert (abs(pixels[top : top + 40, left : left + 100] - 128) <= 1).all()
        labels.append(pixels[top + 40 : top + 40 + LINE, left : left + 100])
        assert labels[-1].min() < 60
    assert len({label.tobytes() for label in labels}) == 9


def test_a_long_name_is_shown_whole(tmp_path):
    pixels = sheet_of(tmp_path / "s.png", ["a_rather_long_name_of_a_file_1", "b"], 1)
    assert pixels.shape[1] > 2 * 200
    assert (pixels[:, -GAP:] == 255).all()
