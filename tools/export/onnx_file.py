"""model.onnx, with named outputs and named dynamic sizes. Needs the extra `onnx`."""

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any

import torch

from medbundles.errors import MedbundlesError

from .compare import Run, largest_difference
from .exported_program import AXES, exported
from .network import Built, outputs_of

NEEDED = ("onnx", "onnxscript", "onnxruntime")


def onnx_file(built: Built) -> tuple[bytes, str]:
    """The file, and what to say of it.

    Raises:
        MedbundlesError: a package is missing.
    """
    import importlib

    try:
        for name in NEEDED:
            importlib.import_module(name)
    except ImportError as error:
        raise MedbundlesError(
            f'--formats onnx: {error.name} is not installed: pip install "medbundles[onnx]"'
        ) from error
    made, images, takes = exported(built)
    names = list(outputs_of(built.network, images[0]))
    with _quiet("torch.onnx", "onnxscript", "onnx_ir"), warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        found: Any = torch.onnx.export(
            made, (),
            input_names=["image"],
            output_names=names,
            dynamic_shapes={"image": {0: "batch", **{i + 2: AXES[i] for i in range(len(built.size))}}},  # names
            dynamo=True,
            verbose=False,
        )  # fmt: skip
    model = found.model_proto
    for graph in (model.graph, *model.functions):
        for node in graph.node:
            del node.metadata_props[:]  # stack traces, which name files of this machine
            node.doc_string = ""
    content = model.SerializeToString(deterministic=True)
    said = largest_difference(read_onnx(content), built, images, "models/model.onnx")
    return content, f"takes {takes}; {said}"


@contextmanager
def _quiet(*names: str) -> Iterator[None]:
    """Without these loggers' lines, of which each step is one, until the end of the block."""
    levels = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


def read_onnx(content: bytes) -> Run:
    """The model in the file, on as many threads as torch has."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]

    def run(image: torch.Tensor) -> dict[str, torch.Tensor]:
        values = session.run(names, {"image": image.numpy()})
        return {name: torch.from_numpy(value) for name, value in zip(names, values, strict=True)}

    return run
