"""What lies beside every set of phantoms: a note that it is synthetic, and a record of how it was made."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medbundles.errors import DataError
from tools.staging import SPLIT_FILE, SYNTHETIC

RECORD = SPLIT_FILE.format("synthetic")
NOTE = """\
SYNTHETIC DATA: drawn by python -m tools sample-data, not measured on anybody.

{what}
Each number that comes from this data says nothing about any disease, scanner or patient.

{layout}
seed {seed}
"""


def new_folder(out_dir: str | Path) -> Path:
    """A folder that does not exist yet or is empty.

    Raises:
        DataError: it holds something.
    """
    out = Path(out_dir)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out}: already holds something; give a new folder")
    out.mkdir(parents=True, exist_ok=True)
    return out


def write_notes(
    out: Path,
    what: str,
    layout: str,
    seed: int,
    folders: Sequence[str],
    counts: Mapping[str, Mapping[str, int]],
    more: Mapping[str, Any],
) -> None:
    """Write SYNTHETIC.txt and the record.

    Args:
        out: the data's folder.
        what: what was drawn, in words.
        layout: which file holds what.
        seed: of the phantoms.
        folders: what else was written into `out`.
        counts: set or grade -> how many there are of what.
        more: further entries of the record.
    """
    entries = [*folders, SYNTHETIC, RECORD]
    record = {"source": "synthetic", "seed": seed, "entries": entries, "counts": counts, **more}
    (out / RECORD).write_text(json.dumps(record, indent=2) + "\n")
    (out / SYNTHETIC).write_text(NOTE.format(what=what, layout=layout, seed=seed))
