"""The properties by which hosts find a bundle's parts, checked by MONAI itself on what is written; nothing is built."""

from typing import Any

from monai.bundle import ConfigWorkflow
from monai.utils import BundlePropertyConfig

from medbundles.errors import MedbundlesError

from .opened import Opened

KINDS = {"training": ("train",), "evaluation": ("train", "evaluate"), "inference": ("inference",)}


class _Written(ConfigWorkflow):
    """MONAI's check builds every property, for which it needs data, and raises where one is missing or is no reference.

    Here a property is its id, and what is missing or wrong is listed.
    """

    def _get_property(self, name: str, property: dict) -> Any:
        try:
            return self._get_prop_id(name, property)
        except KeyError as error:
            raise AttributeError(str(error)) from error

    def _check_optional_id(self, name: str, property: dict) -> bool:
        try:
            return super()._check_optional_id(name, property)
        except (AttributeError, TypeError):  # a value in the place of a reference
            return False


def properties(bundle: Opened, kind: str) -> str:
    """Required properties are there, and optional ones have MONAI's ids and are referred to by `@`.

    Args:
        bundle: which.
        kind: a key of KINDS.
    """
    if not bundle.metadata.get("version"):
        raise MedbundlesError("configs/metadata.json: lacks version, the first of the properties")
    files = [bundle.file(name) for name in KINDS[kind] if bundle.config(name)]
    flow = _Written(
        [str(file) for file in files],
        meta_file=str(bundle.file("metadata")),
        logging_file=False,
        workflow_type="infer" if kind == "inference" else "train",
    )
    flow.parser.parse()  # writes @train#handlers as MONAI compares it; nothing is evaluated
    wrong = flow.check_properties() or []
    assert flow.properties is not None  # of each type of workflow MONAI has some
    every = {name: str(about[BundlePropertyConfig.ID]).replace("::", "#") for name, about in flow.properties.items()}
    if wrong:
        lines = ", ".join(f"{name} ({every[name]})" for name in wrong)
        names = " + ".join(file.name for file in files if file)
        raise MedbundlesError(f"{names}: missing, or not referred to by their own id as @id: {lines}")
    return f"{len(every)} properties of MONAI, required and optional"
