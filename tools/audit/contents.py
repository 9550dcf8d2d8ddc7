"""Every file by what it is, whatever it is called: configs, weights, archives, programs."""

import ast
import configparser
import gzip
import logging
import logging.handlers
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import medbundles

from ..audit.configs import CONFIGS, config_problems
from ..audit.finding import Finding
from ..audit.members import Member, Refused, in_memory, in_tar, in_zip
from ..audit.paths import leaves
from ..audit.pickles import looks_like_pickle, pickle_problems

PACKAGE = Path(medbundles.__file__).parent
PROGRAMS = {
    ".pyc", ".pyo", ".pyd", ".so", ".dll", ".dylib", ".exe", ".com", ".bat", ".cmd", ".ps1", ".sh", ".bash", ".zsh",
    ".ipynb", ".jar", ".class", ".whl", ".egg", ".vbs", ".scr", ".msi", ".deb", ".rpm", ".app", ".hta", ".lnk", ".pyx",
    ".pyw", ".pxd", ".c", ".cpp", ".cu", ".js", ".rb", ".pl", ".php", ".mk", ".cmake",
}  # fmt: skip
PROGRAM_NAMES = {"makefile", "dockerfile", "setup.cfg", "conftest.py", "pyproject.toml", "requirements.txt"}
PROGRAM_STARTS = (
    b"\x7fELF",
    b"MZ",
    b"#!",
    b"\xca\xfe\xba\xbe",
    b"\xcf\xfa\xed\xfe",
    b"\xce\xfa\xed\xfe",
    b"\xfe\xed\xfa",
)
PICKLES = {
    ".pkl",
    ".pickle",
    ".pck",
    ".pcl",
    ".p",
    ".pt",
    ".pth",
    ".ckpt",
    ".bin",
    ".joblib",
    ".dill",
    ".model",
    ".tar",
}
SETTINGS = {".conf", ".cfg", ".ini"}
TEXTS = {".md", ".txt", ".csv", ".tsv", ".rst", ".svg", ".png", ".jpg", ".jpeg", ".nii", ".dcm", ".safetensors"}
SENDS = {"SocketHandler", "DatagramHandler", "HTTPHandler", "SMTPHandler", "SysLogHandler", "NTEventLogHandler"}
DEEPEST = 4  # archives in archives
LARGEST_CONFIG = 64 * 2**20
HEAD = 2**16
STORAGE = re.compile(r"(^|/)(data|constants|weights)/[^/.]+$")  # raw numbers of a torch archive
TORCHSCRIPT_OF_HARM = re.compile(
    r"\b(torch\.(save|load|from_file)|aten\.(save|from_file)|ops\.(?!prim\b|aten\b)\w+|from_file)\b"
)
ONNX_PLACE = re.compile(rb"\n\x08location\x12(.)", re.DOTALL)


def findings_in(members: Iterator[Member | Refused], outer: str = "", depth: int = 0) -> Iterator[Finding]:
    """What is found in the files of a folder or an archive.

    Args:
        members: the files.
        outer: the archive's name with a '!', in front of each name.
        depth: how many archives it lies in.
    """
    everything = list(members)
    names = {member.name for member in everything}
    is_torch = any(name.endswith("data.pkl") for name in names) and depth > 0
    for member in everything:
        name = outer + member.name
        if isinstance(member, Refused):
            yield Finding(name, "", member.rule, member.what)
        elif not (is_torch and STORAGE.search(member.name)):
            try:
                yield from _file(member, name, depth, is_torch)
            except (OSError, EOFError, zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError) as error:
                yield Finding(name, "", "unreadable", f"cannot be read: {error or type(error).__name__}")


def _file(member: Member, name: str, depth: int, is_torch: bool) -> Iterator[Finding]:
    suffix = Path(member.name).suffix.lower()
    with member.open() as stream:
        head = stream.read(HEAD)
        rest = b"" if len(head) < HEAD or suffix in TEXTS else None

        def whole() -> bytes:
            return head + (stream.read() if rest is None else rest)

        is_zip = head.startswith(b"PK") or (member.size < 2**31 and _ends_as_zip(member))
        if suffix in CONFIGS:
            if member.size > LARGEST_CONFIG:
                yield Finding(name, "", "unreadable", f"a config of {member.size:,} bytes")
                return
            config = whole()
            found = () if _is_own(member.name, config) else config_problems(member.name, config)
            for where, rule, what in found:
                yield Finding(name, where, rule, what)
        elif suffix == ".py":
            yield from _python(member.name, name, whole(), is_torch)
        elif suffix in PROGRAMS or Path(member.name).name.lower() in PROGRAM_NAMES or head.startswith(PROGRAM_STARTS):
            yield Finding(name, "", "program", "a program, or what builds or installs one: read it before you run it")
        elif suffix in SETTINGS:
            yield from _logging(name, whole())
        elif is_zip or head[257:262] == b"ustar":
            if depth >= DEEPEST:
                yield Finding(name, "", "archive", "an archive in too many archives")
                return
            content = in_memory(whole())
            inner = in_zip(content, member.size) if is_zip else in_tar(content, member.size)
            yield from findings_in(inner, f"{name}!", depth + 1)
        elif head.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ")):
            yield from _compressed(name, whole(), member.size, depth)
        elif head.startswith(b"\x93NUMPY"):
            if re.search(rb"'descr':[^,]*O", head[:512]):
                yield Finding(name, "", "pickle", "an array of Python objects")
        elif suffix == ".onnx":
            yield from _onnx(name, whole())
        elif suffix not in TEXTS or looks_like_pickle(head):
            sure = suffix in PICKLES or looks_like_pickle(head)
            for what in pickle_problems(whole(), is_torch, sure):
                yield Finding(name, "", "pickle", what)


def _ends_as_zip(member: Member) -> bool:
    """Whether it is a zip with something in front of it, such as a picture."""
    with member.open() as stream:
        try:
            return zipfile.is_zipfile(in_memory(stream.read()) if not stream.seekable() else stream)
        except (OSError, ValueError, NotImplementedError):
            return False


def _python(inner: str, name: str, content: bytes, is_torch: bool) -> Iterator[Finding]:
    """A copy of this package's own file is known; of a scripted network, what reaches the disk is told."""
    if is_torch:
        for found in sorted({match[0] for match in TORCHSCRIPT_OF_HARM.finditer(content.decode("utf-8", "replace"))}):
            yield Finding(name, "", "program", f"the scripted network calls {found}")
        return
    if not _is_own(inner, content):
        yield Finding(name, "", "program", "Python code: it runs when a config or Python imports it; read it")


def _is_own(inner: str, content: bytes) -> bool:
    """Whether it is a copy of this package's file of that name, in a bundle or in its folder inside a zip."""
    for own in (PACKAGE.parent / inner, PACKAGE.parent / inner.partition("/")[2]):
        if own.is_relative_to(PACKAGE) and ".." not in own.parts and own.is_file() and own.read_bytes() == content:
            return True
    return False


def _logging(name: str, content: bytes) -> Iterator[Finding]:
    """logging.config evaluates the classes and arguments of a logging.conf."""
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(content.decode("utf-8"))
    except (configparser.Error, UnicodeDecodeError) as error:
        yield Finding(name, "", "unreadable", f"cannot be read: {' '.join(str(error).split())}")
        return
    for section in parser.sections():
        for key, value in parser.items(section):
            if key == "class" and not _is_logging_class(value):
                yield Finding(name, section, "logging", f"class={value} is no handler or formatter of Python's logging")
            elif key in ("args", "kwargs"):
                yield from _arguments(name, section, key, value)


def _is_logging_class(value: str) -> bool:
    """Whether it is a handler or formatter of the standard library that sends nothing away."""
    name = value.strip().removeprefix("logging.").removeprefix("handlers.")
    found = {**vars(logging.handlers), **vars(logging)}.get(name)
    return name not in SENDS and isinstance(found, type) and issubclass(found, (logging.Handler, logging.Formatter))


def _arguments(name: str, section: str, key: str, value: str) -> Iterator[Finding]:
    try:
        literal = ast.literal_eval(re.sub(r"\bsys\.(stdout|stderr)\b", "None", value) or "()")
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        yield Finding(name, section, "logging", f"{key}={value} is evaluated when the file is read; write plain values")
        return
    values = (
        literal.values() if isinstance(literal, dict) else literal if isinstance(literal, tuple | list) else [literal]
    )
    if any(isinstance(entry, str) and leaves(entry) for entry in values):
        yield Finding(name, section, "path", f"{key}={value} writes outside the bundle")


def _compressed(name: str, content: bytes, size: int, depth: int) -> Iterator[Finding]:
    """A tar, or one file, which is judged by its first bytes."""
    if name.endswith((".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tbz2", ".txz")):
        yield from findings_in(in_tar(in_memory(content), size), f"{name}!", depth + 1)
    elif content.startswith(b"\x1f\x8b"):
        with gzip.open(in_memory(content)) as stream:
            if looks_like_pickle(stream.read(2)):
                yield Finding(name, "", "pickle", "a compressed pickle")


def _onnx(name: str, content: bytes) -> Iterator[Finding]:
    """ONNX keeps weights in other files, which it names."""
    for match in ONNX_PLACE.finditer(content):
        begin = match.end()
        place = content[begin : begin + match[1][0]].decode("utf-8", "replace")
        if leaves(place):
            yield Finding(name, "", "path", f"takes weights from {place!r}")
