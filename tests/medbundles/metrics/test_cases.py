"""Each case once: over scores, epochs and processes."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from ignite.engine import Engine

from medbundles.errors import ConfigError
from medbundles.metrics import Cases, Classes, Losses, Masks, MaskThresholds, Score
from medbundles.metrics.cases import as_columns, as_rows
from medbundles.metrics.scores import score
from medbundles.metrics.weighted import value_of
from tests.two_processes import in_two_processes

SIZE = 9
SCORES = ("dice", "iou", "fp_area", "dice_patient", "acc", "auc")


def batches(rows: list[slice], channels: int = 3) -> list[dict]:
    """Batches as an engine gives them, with masks of several channels; names are in no order."""
    generator = torch.Generator().manual_seed(5)
    found, truth = ((torch.rand(SIZE, channels, 6, 6, generator=generator) > 0.6).float() for _ in range(2))
    truth[::4] = 0
    prob = torch.rand(SIZE, 2, generator=generator, dtype=torch.float64).softmax(1)
    label = torch.arange(SIZE) % 2
    names, patients = [f"case {7 * i % SIZE}" for i in range(SIZE)], [f"p{i // 2}" for i in range(SIZE)]
    return [
        {
            "name": names[r], "patient": patients[r],
            "pred": {"mask": found[r], "prob": prob[r], "class": prob[r].argmax(1)},
            "label": {"mask": truth[r], "cls": label[r]},
        }
        for r in rows
    ]  # fmt: skip


def epoch(data: list[dict], measures: list | None = None, epochs: int = 1) -> tuple[Cases, dict[str, float]]:
    engine, cases = Engine(lambda engine, batch: batch), Cases(measures or [Classes(), Masks()])
    for name in SCORES:
        Score(name, cases).attach(engine, name)
    engine.run(data, max_epochs=epochs)
    return cases, engine.state.metrics


class Counting(Classes):
    calls = 0

    def __call__(self, output):
        self.calls += 1
        return super().__call__(output)


def test_a_batch_is_measured_once_however_many_scores_there_are_and_an_epoch_starts_anew():
    data, counting = batches([slice(0, 4), slice(4, 9)]), Counting()
    cases, _ = epoch(data, [counting, Masks()], epochs=3)
    assert counting.calls == 3 * len(data)
    columns = cases.columns()
    assert columns["name"].tolist() == [f"case {7 * i % SIZE}" for i in range(SIZE)]
    assert columns["overlap"].shape == (SIZE, 3)
    assert columns["prob"].dtype == np.float64


@pytest.mark.parametrize("channels", [1, 3])
def test_the_batches_do_not_matter(channels):
    _, whole = epoch(batches([slice(0, 9)], channels))
    _, parts = epoch(batches([slice(0, 1), slice(1, 3), slice(3, 9)], channels))
    assert all(np.isfinite(value) for value in whole.values())
    assert parts == pytest.approx(whole, abs=1e-12)


def test_reports_are_sorted_and_see_nothing_of_the_training():
    loss = Losses(torch.nn.CrossEntropyLoss(reduction="none"), "cls")
    data = batches([slice(0, 9)], channels=1)
    data[0]["pred"] |= {"mask_prob": data[0]["pred"]["mask"], "cls": data[0]["pred"]["prob"]}
    data[0]["source"] = ["b", "a", "a", "b", "b", "a", "a", "a", "b"]
    cases, _ = epoch(data, [Classes(), Masks(), MaskThresholds(), loss])
    shown, every = cases.in_reports(), cases.columns()
    assert {"loss", "loss_weight", "overlap_at_thresholds", "predicted_pixels_at_thresholds"} == set(every) - set(shown)
    assert list(zip(shown["source"], shown["name"], strict=True)) == sorted(
        zip(data[0]["source"], data[0]["name"], strict=True)
    )
    place = [data[0]["name"].index(name) for name in shown["name"]]
    assert shown["overlap"].tolist() == every["overlap"][place].tolist()
    assert shown["file"].tolist() == [""] * SIZE


def test_a_report_needs_names_and_patients():
    data = batches([slice(0, 9)])
    del data[0]["patient"]
    cases = Cases([Classes()])
    engine = Engine(lambda engine, batch: batch)
    Score("acc", cases).attach(engine, "acc")
    engine.run(data)
    with pytest.raises(ConfigError, match="a report needs 'patient' in each item of the data"):
        cases.in_reports()


def test_rows_of_a_checkpoint_are_the_columns_again():
    columns = epoch(batches([slice(0, 4), slice(4, 9)]))[0].columns()
    again = as_columns(as_rows(columns))
    assert list(again) == list(columns)
    assert all(np.array_equal(again[name], values) for name, values in columns.items())
    assert as_columns([]) == {}


def test_cases_need_a_measure():
    with pytest.raises(ConfigError, match="at least one measure"):
        Cases([])


SCRIPT = """
import json
from types import SimpleNamespace
from medbundles.metrics import Cases, Classes, Masks
from medbundles.metrics.scores import score
from medbundles.metrics.weighted import value_of
from tests.medbundles.metrics import test_cases as tests
shares = {"uneven": ([slice(0, 2)], [slice(2, 5), slice(5, 9)]), "empty": ([], [slice(0, 9)])}
found = {}
for name, rows in shares.items():
    cases, engine = Cases([Classes(), Masks()]), SimpleNamespace(state=SimpleNamespace(iteration=0))
    cases.start(engine)
    for batch in tests.batches(rows[rank]):
        engine.state.iteration += 1
        engine.state.batch = engine.state.output = batch
        for _ in range(2):
            cases.collect(engine)
    columns = cases.columns()
    values = {kind: value_of(score(kind, columns), len(columns["name"])) for kind in tests.SCORES}
    found[name] = {"names": columns["name"].tolist(), "values": values}
print(json.dumps(found))
"""


def test_two_processes_have_each_case_once_even_if_one_has_none(tmp_path):
    printed = in_two_processes(tmp_path, SCRIPT)
    columns = epoch(batches([slice(0, 9)]))[0].columns()
    values = {kind: value_of(score(kind, columns), SIZE) for kind in SCORES}
    for out in printed:
        for share in json.loads(out).values():
            assert share["names"] == columns["name"].tolist()  # in the order of the ranks
            assert share["values"] == pytest.approx(values, abs=1e-12)
