"""Names of code in a config: which components may be built, and which texts only look like a name."""

import importlib
import inspect
import re
import sys
from functools import cache
from typing import Any

DOTTED = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)+")
# packages whose classes may be built; each class has to be defined below the same top-level package
CLASSES = (
    "monai.transforms", "monai.networks.nets", "monai.networks.blocks", "monai.networks.layers",
    "monai.networks.schedulers", "monai.losses", "monai.metrics", "monai.inferers", "monai.handlers", "monai.engines",
    "monai.data", "monai.optimizers", "monai.visualize", "torch.nn", "torch.optim", "torch.utils.data", "torch.amp",
    "torch.utils.tensorboard", "ignite.metrics", "ignite.handlers", "ignite.engine",
)  # fmt: skip
# what of them reads pickles, runs programs, fetches or sends something, or takes the name of code
REFUSED_CLASSES = {
    "LMDBDataset", "NPZDictItemDataset", "TorchVisionFCModel", "TorchVision", "TorchVisiond", "RandTorchVisiond",
    "TorchIO", "TorchIOd", "RandTorchIO", "RandTorchIOd", "TrtHandler", "MLFlowHandler", "PerceptualLoss",
    "RadImageNetPerceptualSimilarity", "MedicalNetPerceptualSimilarity", "MILModel", "Transchex", "FID", "Engine",
}  # fmt: skip
REFUSED_MODULES = re.compile(r"torch\.utils\.data\.datapipes|ignite\.metrics\.gan|monai\.handlers\.clearml|"
                             r"ignite\.handlers\.(?!tensorboard|tqdm)\w*_logger")  # fmt: skip
ROOMS = {
    "networks", "losses", "metrics", "data", "transforms", "handlers", "inferers", "optimizers", "runs", "preflight",
    "reports", "ranks",
}  # fmt: skip
FUNCTIONS = {
    "torch.device", "torch.tensor", "torch.zeros", "torch.ones", "torch.linspace", "torch.arange", "torch.Generator",
    "monai.utils.set_determinism", "monai.data.load_decathlon_datalist", "monai.data.decollate_batch",
    "monai.data.list_data_collate", "monai.data.pad_list_data_collate", "monai.data.partition_dataset",
    "monai.data.partition_dataset_classes", "monai.data.select_cross_validation_folds",
    "monai.handlers.from_engine", "monai.handlers.stopping_fn_from_metric", "monai.handlers.stopping_fn_from_loss",
    "monai.handlers.utils.from_engine", "monai.engines.default_metric_cmp_fn", "torch.nn.functional.softmax",
    "torch.nn.functional.sigmoid", "torch.nn.functional.interpolate", "numpy.array", "numpy.asarray",
    "numpy.linspace", "numpy.arange",
}  # fmt: skip
PACKAGES = sys.stdlib_module_names | {"torch", "monai", "ignite", "medbundles", "numpy", "scipy", "torchvision", "pip",
                                      "setuptools", "dill", "joblib", "cloudpickle", "requests"}  # fmt: skip
ENDS_A_FILE = re.compile(
    r"\.(json|ya?ml|txt|md|csv|tsv|png|jpe?g|tiff?|bmp|nii|gz|zip|npy|npz|pt|pth|ts|onnx|db|log|dcm)$"
)
# arguments for which MONAI looks up the name of a class, anywhere
BY_NAME = {"reader", "writer", "merger_cls", "backbone", "pickle_module", "workflow_name", "workflow_type"}
NAMES_OF_MONAI = re.compile(
    r"(?i:itk|nibabel|numpy|pil|pydicom|nrrd|wsi)reader|(?i:itk|nibabel|pil)writer|efficientnet-(b\d|l2)|resnet\d+|"
    r"(Avg|ZarrAvg)Merger|pickle"
)


def target_problem(target: str) -> str | None:
    """Why a component must not be built from this name; None where it may.

    Args:
        target: the value of a `_target_`: a class of MONAI by its short name, or a full name.
    """
    if target in FUNCTIONS:
        return None
    if not re.fullmatch(r"\w+(\.\w+)*", target, re.ASCII):
        return f"{target!r} is no name of a component"
    if "." not in target:
        module = _short_names().get(target)
        if module is None:
            return f"{target!r} is no component of MONAI"
        target = f"{module}.{target}"
    package, _, name = target.rpartition(".")
    if any(part.startswith("_") for part in target.split(".")):
        return f"'{target}' is private"
    is_ours = package.startswith("medbundles.")
    if is_ours:
        allowed = package.removeprefix("medbundles.") in ROOMS
    else:
        allowed = any(f"{package}.".startswith(f"{known}.") for known in CLASSES)
    unknown = f"'{target}' is not among the components that are known to be harmless"
    if not allowed:
        return unknown
    found = _found(package, name)
    if found is None:
        return f"'{target}' is not in the installed packages, so that nothing is known of it"
    is_component = inspect.isclass(found) or (is_ours and inspect.isfunction(found))
    if not is_component or found.__module__.split(".")[0] != target.split(".")[0]:
        return f"'{target}' is no class of {target.split('.')[0]}"
    if not is_ours and ({name, found.__name__} & REFUSED_CLASSES or REFUSED_MODULES.match(found.__module__)):
        return unknown
    return None


def by_name_problem(value: str) -> str | None:
    """Why an argument for which MONAI looks up code by its name is not plainly a name of MONAI's; None where it is."""
    if NAMES_OF_MONAI.fullmatch(value):
        return None
    if value.startswith(("@", "$", "%")):
        return "names code by a reference or an expression; write the name itself"
    return target_problem(value)


def text_problem(text: str) -> str | None:
    """Why a text looks like the name of code that is not known to be harmless; None where it does not."""
    if not DOTTED.fullmatch(text) or text.split(".")[0] not in PACKAGES or ENDS_A_FILE.search(text):
        return None
    return target_problem(text) and f"'{text}' names code that is not known to be harmless"


@cache
def _short_names() -> dict[str, str]:
    """Name -> the module that MONAI takes for it: the first of all its loaded modules that define it."""
    importlib.import_module("monai.bundle")  # loads all of MONAI, as running a bundle does
    table: dict[str, str] = {}
    for module in [name for name in sys.modules if name.startswith("monai.")]:
        for name, found in inspect.getmembers(sys.modules[module]):
            if (inspect.isclass(found) or inspect.isfunction(found)) and found.__module__ == module:
                table.setdefault(name, module)
    return table


def _found(package: str, name: str) -> Any:
    """What the installed packages hold under a name, all of whose packages are really packages; None: nothing."""
    try:
        return getattr(importlib.import_module(package), name, None)
    except ImportError:
        return None
