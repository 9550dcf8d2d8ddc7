"""What kind of file something is: by its ending and its first bytes, which have to agree. Others are unknown."""

import re
from pathlib import PurePosixPath

CONFIGS = {".json", ".yaml", ".yml"}
TORCH = {".pt", ".pth", ".ckpt", ".ts", ".pt2", ".bin"}
ZIPS = TORCH | {".zip", ".npz"}
PICKLES = TORCH | {".pkl", ".pickle", ".joblib", ".sav"}
TEXTS = {".md", ".txt", ".csv", ".tsv", ".rst"}
TEXT_NAMES = {".gitattributes", "license", "notice", "readme", "version", "authors", "citation", "changelog", "copying"}
PROGRAM_STARTS = (
    b"\x7fELF",
    b"MZ",
    b"#!",
    b"\xca\xfe\xba\xbe",
    b"\xcf\xfa\xed\xfe",
    b"\xce\xfa\xed\xfe",
    b"\xfe\xed\xfa",
)
PICTURES = {  # ending -> first bytes
    ".png": (b"\x89PNG\r\n\x1a\n",), ".jpg": (b"\xff\xd8\xff",), ".jpeg": (b"\xff\xd8\xff",), ".bmp": (b"BM",),
    ".gif": (b"GIF8",), ".tif": (b"II*\0", b"MM\0*"), ".tiff": (b"II*\0", b"MM\0*"),
}  # fmt: skip
NIFTI = tuple(size.to_bytes(4, order) for size in (348, 540) for order in ("little", "big"))  # type: ignore[arg-type]
TARS = re.compile(r"\.(tar(\.(gz|bz2|xz))?|tgz|tbz2?|txz)$", re.IGNORECASE)
COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ")
BOM = b"\xef\xbb\xbf"


def kind_of(name: str, head: bytes) -> str:
    """The kind of a file: config, python, logging, zip, tar, volume, compressed volume, picture, array, pickle, onnx,
    safetensors, text, program, or unknown.

    Args:
        name: its path inside the bundle.
        head: its first bytes, 512 at least where it is so long.
    """
    path = PurePosixPath(name)
    suffix, start = path.suffix.lower(), head.removeprefix(BOM).lstrip()
    if path.name != ".gitattributes" and any(part.startswith(".") for part in path.parts):
        return "unknown"
    if suffix in CONFIGS:
        return "config"
    if suffix == ".py":
        return "python"
    if (
        head.startswith(PROGRAM_STARTS)
        or start.startswith(PROGRAM_STARTS)
        or path.stem.lower().startswith("requirement")
    ):
        return "program"
    if suffix == ".conf":
        return "logging"
    if TARS.search(name):
        return "tar"
    if head.startswith(b"PK\x03\x04"):
        return "zip" if suffix in ZIPS else "unknown"
    if suffix in PICKLES:
        return "pickle"
    if suffix in PICTURES:
        return "picture" if head.startswith(PICTURES[suffix]) else "unknown"
    agrees = {
        ".npy": ("array", head.startswith(b"\x93NUMPY")),
        ".nii": ("volume", head.startswith(NIFTI)),
        ".gz": ("compressed volume", name.lower().endswith(".nii.gz") and head.startswith(COMPRESSED)),
        ".dcm": ("volume", head[128:132] == b"DICM"),
        ".safetensors": ("safetensors", head[8:9] == b"{"),
        ".onnx": ("onnx", True),
    }
    kind, does = agrees.get(suffix, ("text", suffix in TEXTS or path.name.lower() in TEXT_NAMES))
    return kind if does else "unknown"
