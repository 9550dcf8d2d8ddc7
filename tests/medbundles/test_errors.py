from __future__ import annotations

import math

import pytest

from medbundles.errors import ConfigError, DataError, causes, first_few, in_range, nearest, one_of


@pytest.mark.parametrize("value", [-0.1, 1.0, math.nan, "0.5", None, True])
def test_what_is_no_number_of_the_range_is_refused(value):
    in_range("s", 0, minimum=0, below=1)
    with pytest.raises(ConfigError, match=r"s: .* is not allowed; it must be (a number, )?at least 0 and below 1\."):
        in_range("s", value, minimum=0, below=1)


def test_an_unknown_name_is_refused_with_the_nearest():
    one_of("depth", 10, (10, 18))
    with pytest.raises(ConfigError, match=r"name: 'adan' is unknown; use one of: adam, sgd; did you mean 'adam'\?"):
        one_of("name", "adan", ("adam", "sgd"))


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("UNet3D", "unet"),
        ("Swin-UNETR", "swin_unetr"),
        ("UNETR", "unetr"),
        ("ReduceLROnPlateau", "plateau"),
        ("CosineAnnealingLR", "cosine"),
        ("lr", None),
        ("", None),
        ("xyzzy", None),
    ],
)
def test_the_nearest_name_is_that_of_another_spelling_or_a_part(value, name):
    assert nearest(value, ["cosine", "plateau", "unet", "unetr", "swin_unetr", "sgd", 3]) == name
    assert nearest("18.", [10, 18]) == 18  # as it was given


def test_many_names_are_counted():
    assert first_few(["a", "b"]) == "a, b"
    assert first_few(range(10), most=3) == "0, 1, 2 and 7 more"


def test_the_causes_of_an_error_come_in_order_and_contexts_when_asked_for():
    first, second, third = KeyError("first"), DataError("second"), ValueError("third")
    second.__context__, third.__cause__ = first, second
    assert list(causes(third)) == [third, second]
    assert list(causes(third, contexts=True)) == [third, second, first]
    first.__cause__ = third  # a circle ends
    assert list(causes(third, contexts=True)) == [third, second, first]
