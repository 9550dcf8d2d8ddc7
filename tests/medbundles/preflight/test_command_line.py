from __future__ import annotations

import importlib.machinery
import logging
import re
import sys

import numpy as np
import pytest
import torch
import torch.distributed as dist
from monai.bundle import ConfigParser

from medbundles.errors import ConfigError, DataError
from medbundles.preflight import command_line
from medbundles.preflight.command_line import on_command_line, readable, show
from tests.two_processes import in_two_processes

WORKER = """Caught DataError in DataLoader worker process 1.
Original Traceback (most recent call last):
  File "dataset.py", line 67, in _read
ValueError: bad

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "worker.py", line 351, in _worker_loop
medbundles.errors.DataError: a.png: cannot be read.
DataError: is only a word here.
"""


def chain(*errors, cause=True):
    """The last of the errors, raised one from the other."""
    out = errors[0]
    for error in errors[1:]:
        try:
            try:
                raise out
            except Exception as before:
                if not cause:
                    raise error  # noqa: B904
                raise error from before
        except Exception as after:
            out = after
    return out


def test_the_message_is_found_however_deep_monai_wrapped_it():
    assert readable(ConfigError("lr: wrong")) == "lr: wrong"
    for cause in (True, False):
        assert readable(chain(DataError("a.png"), ValueError("b"), RuntimeError("c"), cause=cause)) == "a.png"
    assert readable(ValueError("b")) is None
    assert readable(None) is None


def test_of_a_workers_text_the_message_remains():
    assert readable(DataError(WORKER)) == "a.png: cannot be read.\nDataError: is only a word here."
    assert readable(DataError("Caught in the rain")) == "Caught in the rain"


def test_where_memory_runs_out_the_message_says_what_to_lower(monkeypatch):
    monkeypatch.setattr(command_line, "take_memory", {"batch_size": 8, "image_size": 256})
    advice = r"\. Lower batch_size \(now 8\), image_size \(now 256\)\.$"
    with pytest.raises(RuntimeError) as on_cpu:
        torch.empty(2**58)
    with pytest.raises(MemoryError) as of_numpy:
        np.empty(2**58)
    for error in (on_cpu.value, of_numpy.value, torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")):
        for wrapped in (error, chain(error, RuntimeError("wrapped"))):
            assert re.match("out of memory: .*" + advice, readable(wrapped))
    assert readable(RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed.")).startswith(
        "out of memory: "
    )
    assert readable(RuntimeError("DataLoader worker (pid 7) is killed by signal: Aborted.")) is None


@pytest.mark.parametrize(
    ("component", "line"),
    [
        ({"_target_": "BasicUNet", "features": [1]}, "ValueError: Sequence must have length 6, got 1."),
        ({"_target_": "BasicUNet", "depth": 3}, "TypeError: BasicUNet.__init__() got an unexpected"),
        ({"_target_": "medbundles.metrics.Score", "depth": 3}, None),  # a mistake of ours keeps its trace
    ],
)
def test_a_component_of_someone_elses_that_refuses_its_arguments_says_so(component, line):
    with pytest.raises(RuntimeError) as error:
        ConfigParser({"it": component}).get_parsed_content("it")
    found = readable(error.value)
    start = f"monai.networks.nets.basic_unet.BasicUNet cannot be built with the arguments {[*component][1]}: {line}"
    assert found is None if line is None else found.startswith(start)


def test_errors_that_go_round_in_circles_come_to_an_end():
    first, second = ValueError("a"), ValueError("b")
    first.__cause__, second.__cause__ = second, first
    assert readable(first) is None


def test_a_message_is_shown_alone_and_goes_into_the_log_file(capsys, tmp_path):
    handler = logging.FileHandler(tmp_path / "train.log")
    logging.getLogger().addHandler(handler)
    try:
        error = chain(ConfigError("lr: wrong"), RuntimeError("wrapped"))
        show(type(error), error, error.__traceback__)
    finally:
        logging.getLogger().removeHandler(handler)
        handler.close()
    assert capsys.readouterr().err == "Error: lr: wrong\n"
    assert "lr: wrong" in (tmp_path / "train.log").read_text()


def test_other_errors_keep_their_stack_trace(capsys):
    error = chain(ValueError("x"))
    show(ValueError, error, None)
    assert "ValueError: x" in capsys.readouterr().err


def test_of_several_ranks_the_first_with_an_error_speaks_and_the_others_are_silent(capsys):
    """A broken file may be met by any one rank; the others then lose their connection."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        show(DataError, DataError("a.png: broken"), None)
        show(DataError, DataError("a.png: broken"), None)
        show(RuntimeError, RuntimeError("Connection closed by peer"), None)
    finally:
        dist.destroy_process_group()
    assert capsys.readouterr().err == "Error: a.png: broken\n"


LINES = """
import logging
from medbundles.preflight import command_line
command_line.on_command_line = lambda: True
command_line.show_errors_plainly()
logger = logging.getLogger("medbundles")
logger.info("weights: model.pt")
for number in range(2):
    logger.warning("doubtful header")
logger.warning("rank %d alone has this", rank)
"""


def test_what_all_ranks_have_to_say_is_said_once(tmp_path):
    """And what only one of them has by that one; a warning that comes twice comes twice."""
    said = [line for out in in_two_processes(tmp_path, LINES) for line in out.splitlines()]
    assert sorted(said) == [
        "doubtful header", "doubtful header", "rank 0 alone has this", "rank 1 alone has this", "weights: model.pt",
    ]  # fmt: skip


def test_without_a_logging_conf_the_command_line_still_tells_what_happens(monkeypatch, capsys):
    """A run's config.json, run again, has none beside it."""
    monkeypatch.setattr(command_line, "on_command_line", lambda: True)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(command_line.logger, "filters", [])
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", root.level)
    command_line.show_errors_plainly()
    logging.getLogger("medbundles").info("Epoch 1/1")
    assert capsys.readouterr().out == "Epoch 1/1\n"
    there = list(root.handlers)
    command_line.show_errors_plainly()
    assert root.handlers == there


@pytest.mark.parametrize(
    ("name", "is_one"), [("monai.bundle.__main__", True), ("pytest.__main__", False), (None, False)]
)
def test_the_hook_is_only_for_monais_command_line(monkeypatch, name, is_one):
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(command_line.logger, "filters", [])
    before = sys.excepthook
    spec = importlib.machinery.ModuleSpec(name, None) if name else None
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", spec)
    assert on_command_line() == is_one
    command_line.show_errors_plainly()
    assert (sys.excepthook is show) == is_one
    assert is_one or sys.excepthook is before
