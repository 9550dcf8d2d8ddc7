"""What inference on whole volumes runs on: a file, a case or a folder of them, as one item per case."""

from collections.abc import Sequence
from operator import itemgetter
from pathlib import Path

from medbundles.data.lists.brats import patient_of
from medbundles.data.lists.dicom_inputs import found_inputs
from medbundles.data.lists.earlier_results import check_existing, unfinished
from medbundles.data.lists.failed_inputs import with_failed
from medbundles.data.lists.graded_cases import volume_item
from medbundles.data.lists.inference_inputs import unique_names
from medbundles.data.lists.modalities import wanted_modalities
from medbundles.data.lists.volume_cases import case_names, complete_cases
from medbundles.data.problems import Problems
from medbundles.data.reading.case_files import check_case_files
from medbundles.data.reading.files import VOLUME_ENDINGS


def inference_cases(
    inputs: str | Path,
    modality: str | Sequence[str] = "flair",
    *,
    output: str | Path | None = None,
    existing: str = "overwrite",
    dicom_mapping: str | Path | bool | None = None,
) -> list[dict]:
    """Items of a volume, of a case, or of all cases below a folder; headers of all volumes are checked at once.

    What is a case is said in `volume_cases`, what is no input in `input_files`; both log what is left out.

    Args:
        inputs: a volume, a case's folder, or a folder of either; of NIfTI, or of DICOM series.
        modality: "flair", "t1", "t1ce", "t2", or a list of them (the channels, in this order).
        output: the folder that results go to.
        existing: cases whose results are in `output`: "overwrite" them, "skip" them, or refuse with an "error".
        dicom_mapping: of DICOM, a file that says which series each input is, see `found_inputs`.

    Returns:
        One dict per case, sorted by name: image (path; with several modalities a list of them), name (unique; that of
        the case, with the folders above it where two have the same), patient, source "volumes". Empty only when
        everything is skipped.

    Raises:
        ConfigError: no input, unknown modality or `existing`.
        DataError: nothing there, no cases, no usable one (all are listed), or results that are already there.
    """
    check_existing(existing)
    wanted = wanted_modalities(modality)
    problems, items = Problems(), []
    root, paths = found_inputs(inputs, output, problems, VOLUME_ENDINGS, existing=existing, mapping=dicom_mapping)
    complete = complete_cases(paths, root, wanted, problems)
    bare = dict(zip(complete, case_names(complete.values(), root), strict=True))
    names = unfinished(unique_names(bare), output, existing, result="grad_cam")
    for first, name in sorted(names.items(), key=itemgetter(1)):
        paths = complete[first].volumes(wanted)
        if check_case_files(paths, problems):
            items.append(volume_item(name, paths, patient_of(complete[first].name)))
    return with_failed(items, problems, root, done=bool(complete) and not names)
