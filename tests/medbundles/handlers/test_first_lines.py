from __future__ import annotations

from types import SimpleNamespace

from torch import nn

from medbundles.handlers.first_lines import datasets, line_about_network, lines_about_data


def part(*items):
    return SimpleNamespace(data=[dict(zip(("patient", "source", "label"), item, strict=True)) for item in items])


def test_images_patients_sources_and_classes_of_each_part():
    """A name in two sources is one patient, as intervals, tables and joined copies count."""
    parts = {
        "training": part(("a", "slices", -1), ("a", "slices", -1), ("a", "images", 0), ("b", "images", 1)),
        "validation": part(("c", "slices", 1)),
        "of a host": SimpleNamespace(),
    }
    assert list(lines_about_data(parts, ["no", "yes"])) == [
        "training: 4 images of 2 patients (slices 2, images 2), classes: no 1, yes 1, of 2 the masks say it",
        "validation: 1 image of 1 patient, classes: yes 1",
    ]
    assert list(lines_about_data({"evaluation": part(("c", "x", 1))})) == ["evaluation: 1 image of 1 patient"]


def test_parameters_and_how_many_of_them_are_trained():
    network = nn.Sequential(nn.Linear(1000, 2), nn.Linear(2, 1))
    assert line_about_network(network) == "network: Sequential with 2,005 parameters"
    network[0].requires_grad_(False)
    assert line_about_network(network) == "network: Sequential with 2,005 parameters, of which 3 are trained"


def test_the_parts_of_a_training_and_of_an_evaluation():
    one, two = (SimpleNamespace(data_loader=SimpleNamespace(dataset=name)) for name in "ab")
    assert datasets(one, two) == {"training": "a", "validation": "b"}
    assert datasets(one) == {"evaluation": "a"}
    assert datasets(SimpleNamespace()) == {}
