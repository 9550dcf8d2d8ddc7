"""Every file by what it is: configs, weights, archives, programs."""

import bz2
import gzip
import io
import lzma
import re
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import numpy as np

import medbundles

from .configs import Configs
from .finding import Finding
from .kinds import COMPRESSED, NIFTI, TORCH, kind_of
from .logging_conf import logging_problems
from .members import LARGEST_RATIO, MOST, RATIO_MATTERS, Member, Refused, in_tar, in_zip
from .pickles import is_pickle_in_text, pickle_problems

PACKAGE = Path(medbundles.__file__).parent
DEEPEST = 4  # archives in archives
LARGEST_CONFIG, LARGEST_READ = 64 * 2**20, 2**30  # bytes
HEAD = 1024
LARGE_FILES = re.compile(rb"(\S+ filter=lfs diff=lfs merge=lfs -text\n)*")
END_OF_ZIP, TAIL = b"PK\x05\x06", 2**16 + 22
# raw numbers and small texts in a file of torch.save, torch.jit.save or torch.export.save
OF_TORCH = re.compile(
    r"(data|constants|tensors|traced_inputs)/\d+|data/(weights|constants)/\w+_\d+|version|byteorder|"
    r"archive_(format|version)|\.format_version|\.storage_alignment|\.data/(serialization_id|version)"
)
PICKLES_OF_TORCH = re.compile(r"\w+\.pkl|code/.*\.debug_pkl|data/constants/custom_obj_\d+")
# what a scripted network may not call; a scripted network has no other way to the disk
TORCHSCRIPT_OF_HARM = re.compile(
    r"\b((torch|aten)\s*\.\s*(save|load|from_file|_save|read_file)|from_file|ops\s*\.\s*(?!prim\b|aten\b|quantized\b)\w+)\b"
)


class Auditor:
    """Goes through the files of a folder or an archive, and of archives in it. Counts them all, so that many archives
    in one another end."""

    def __init__(self) -> None:
        self.count = 0

    def findings(self, members: Iterable[Member | Refused], outer: str = "", depth: int = 0) -> Iterator[Finding]:
        """What is found.

        Args:
            members: the files.
            outer: the archive's name with a '!', in front of each name.
            depth: how many archives it lies in.
        """
        everything = list(members)
        torch_root = _torch_root(everything) if PurePosixPath(outer.rstrip("!")).suffix.lower() in TORCH else None
        configs: dict[str, bytes] = {}
        for member in everything:
            name = outer + member.name
            if isinstance(member, Refused):
                yield Finding(name, "", member.rule, member.what)
                continue
            self.count += 1
            if self.count > MOST:
                yield Finding(name, "", "archive", f"more than {MOST:,} files, in archives too: the rest is not judged")
                return
            try:
                yield from self._file(member, name, depth, torch_root, configs)
            except MemoryError:
                yield Finding(name, "", "unreadable", "too large for the memory")
            except (OSError, EOFError, zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError) as error:
                yield Finding(name, "", "unreadable", f"cannot be read: {error or type(error).__name__}")
        yield from Configs(configs).findings()

    def _file(
        self, member: Member, name: str, depth: int, torch_root: str | None, configs: dict[str, bytes]
    ) -> Iterator[Finding]:
        with member.open() as stream:
            head = stream.read(HEAD)
            if torch_root is not None:
                yield from self._of_torch(member, name, head, stream, depth, torch_root)
                return
            kind = kind_of(member.name, head)
            if kind == "config":
                if member.size > LARGEST_CONFIG:
                    yield Finding(name, "", "unreadable", f"a config of {member.size:,} bytes")
                elif not _is_own(member.name, content := head + stream.read()):
                    configs[name] = content
            elif kind == "python":
                if not _is_own(member.name, _whole(member, head, stream)):
                    what = "Python code: it runs when a config or Python imports it; read it"
                    yield Finding(name, "", "program", what)
            elif kind == "program":
                yield Finding(name, "", "program", "a program, or what installs one: read it before you run it")
            elif kind == "unknown":
                yield Finding(name, "", "unknown", "hidden, or of a kind (ending and first bytes) that is not known")
            elif kind == "logging":
                for section, rule, what in logging_problems(_whole(member, head, stream)):
                    yield Finding(name, section, rule, what)
            elif kind in ("zip", "tar"):
                yield from self._archive(kind, member, name, head, stream, depth)
            elif kind == "pickle":
                for what in pickle_problems(_whole(member, head, stream)):
                    yield Finding(name, "", "pickle", what)
            else:
                yield from _data(kind, name, head, member, stream)

    def _archive(
        self, kind: str, member: Member, name: str, head: bytes, stream: BinaryIO, depth: int
    ) -> Iterator[Finding]:
        if depth >= DEEPEST:
            yield Finding(name, "", "archive", "an archive in too many archives")
        elif kind == "zip":
            is_file = depth == 0 and stream.seekable()
            inner = stream if is_file else io.BytesIO(_whole(member, head, stream))
            yield from self.findings(in_zip(inner, member.size), f"{name}!", depth + 1)
        else:
            content = _whole(member, head, stream)
            if head.startswith(COMPRESSED):
                content = _unpacked(content)
            yield from self.findings(in_tar(content), f"{name}!", depth + 1)

    def _of_torch(
        self, member: Member, name: str, head: bytes, stream: BinaryIO, depth: int, root: str
    ) -> Iterator[Finding]:
        """A file in an archive of torch: its raw numbers are known, a scripted network's code is its own language."""
        inner = member.name.removeprefix(root)
        if PICKLES_OF_TORCH.fullmatch(inner):
            for what in pickle_problems(_whole(member, head, stream), is_torchscript=True):
                yield Finding(name, "", "pickle", what)
        elif inner.startswith("code/") and inner.endswith(".py"):
            code = _whole(member, head, stream).decode("utf-8", "replace")
            for found in sorted({match[0] for match in TORCHSCRIPT_OF_HARM.finditer(code)}):
                yield Finding(name, "", "program", f"the scripted network calls {' '.join(found.split())}")
        elif inner.endswith(".pt") and head.startswith(b"PK"):
            yield from self._archive("zip", member, name, head, stream, max(depth, 1))
        elif not OF_TORCH.fullmatch(inner) and not inner.endswith(".json"):
            yield Finding(name, "", "unknown", "is not what torch keeps in such a file")


def _torch_root(members: list[Member | Refused]) -> str | None:
    """The folder of an archive of torch, with '/'; None: it is none."""
    names = [member.name for member in members if isinstance(member, Member)]
    roots = {name.partition("/")[0] for name in names}
    if len(roots) != 1:
        return None
    root = f"{roots.pop()}/"
    is_torch = f"{root}data.pkl" in names or f"{root}archive_format" in names
    return root if is_torch else None


def _whole(member: Member, head: bytes, stream: BinaryIO) -> bytes:
    """The whole content.

    Raises:
        ValueError: it is larger than what is read into memory.
    """
    if member.size > LARGEST_READ:
        raise ValueError(f"{member.size:,} bytes are more than are looked at")
    return head + stream.read()


def _unpacked(content: bytes) -> bytes:
    """What a compressed file holds.

    Raises:
        ValueError: much more than its size tells.
    """
    opened: Any = {b"\x1f\x8b": gzip.open, b"BZ": bz2.open, b"\xfd7": lzma.open}[content[:2]]
    with opened(io.BytesIO(content)) as stream:
        found = stream.read(LARGEST_READ + 1)
    if len(found) > LARGEST_READ or (len(found) > RATIO_MATTERS and len(found) > LARGEST_RATIO * len(content)):
        raise ValueError("it unpacks to more than is looked at")
    return found


def _is_own(inner: str, content: bytes) -> bool:
    """Whether it is a copy of this package's file of that name, in a bundle or in its folder inside a zip."""
    for place in (inner, inner.partition("/")[2]):
        own = PACKAGE.parent / place
        if place.startswith("medbundles/") and ".." not in own.parts and own.is_file() and own.read_bytes() == content:
            return True
    return False


def _data(kind: str, name: str, head: bytes, member: Member, stream: BinaryIO) -> Iterator[Finding]:
    """Images, arrays, weights and texts: whether they are only that."""
    if kind == "array":
        if _holds_objects(head):
            yield Finding(name, "", "pickle", "an array of Python objects, or one whose header cannot be read")
    elif kind == "compressed volume":
        stream.seek(0)
        with gzip.open(stream) as unpacked:
            if not unpacked.read(4).startswith(NIFTI):
                yield Finding(name, "", "unknown", "is compressed, and no NIfTI")
    elif kind == "onnx":
        if b"location" in _whole(member, head, stream):
            yield Finding(name, "", "path", "takes weights from other files")
    elif kind == "picture":
        if END_OF_ZIP in _whole(member, head, stream)[-TAIL:]:
            yield Finding(name, "", "archive", "a picture with an archive behind it")
    elif kind == "text":
        content = _whole(member, head, stream)
        try:
            is_text = "\0" not in content.decode("utf-8")
        except UnicodeDecodeError:
            is_text = False
        if name.endswith(".gitattributes") and not LARGE_FILES.fullmatch(content):
            yield Finding(name, "", "unknown", "tells git more than which files are large")
        elif not is_text:
            yield Finding(name, "", "unknown", "is called a text, and is none")
        elif is_pickle_in_text(content):
            yield Finding(name, "", "pickle", "can be loaded as a pickle that calls something")


def _holds_objects(head: bytes) -> bool:
    """Whether a .npy file's header tells of Python objects, or cannot be read."""
    stream = io.BytesIO(head)
    try:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        return bool(read(stream)[2].hasobject)
    except (ValueError, TypeError, SyntaxError, EOFError):
        return True
