"""What a pickle would call when it is loaded, read off its opcodes. Nothing of it is loaded."""

import io
import pickletools
import re
from collections.abc import Iterator
from typing import Any

# what torch.load(weights_only=True) takes, and nothing that calls what it is given
PLAIN = re.compile(
    r"collections\.OrderedDict|torch\.(Size|device|Tensor|nn\.parameter\.Parameter|BFloat16Tensor|"
    r"\w+Storage|storage\.(Typed|Untyped)Storage|float\d*|bfloat16|double|half|int\d*|uint\d*|long|short|bool|"
    r"complex\d*|float8_\w+|qu?int\d+\w*|strided|sparse_coo|contiguous_format|channels_last|per_tensor_affine)|"
    r"torch\._utils\._rebuild_(tensor|tensor_v2|tensor_v3|parameter|parameter_with_state|qtensor|sparse_tensor|"
    r"meta_tensor_no_storage|device_tensor_from_numpy|device_tensor_from_cpu_tensor)|"
    r"torch\._tensor\._rebuild_from_type_v2|torch\.serialization\._get_layout|_codecs\.encode|"
    r"numpy(\._?core)?\.(multiarray\.(_reconstruct|scalar)|dtype|ndarray|numeric\._frombuffer)|"
    r"(builtins|__builtin__)\.(set|frozenset|complex)"
)
OF_TORCHSCRIPT = re.compile(
    r"__torch__(\.\w+)+|torch\.jit\._pickle\.(build_(int|double|bool|tensor)list|build_tensor_from_id|restore_type_tag)"
)
LOOK_UP = {"GLOBAL", "INST", "STACK_GLOBAL", "EXT1", "EXT2", "EXT4"}
CALL = {"REDUCE", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "BUILD"}
MARK, THING = object(), object()
OF_LEGACY = 5  # pickles in a file of torch before its zip files; raw numbers follow
MOST_OPCODES = 5_000_000
ERRORS = (ValueError, IndexError, KeyError, UnicodeDecodeError, OverflowError, MemoryError)


class Global(str):
    """A name that was looked up."""


def pickle_problems(content: bytes, is_torchscript: bool = False) -> Iterator[str]:
    """What is called on loading that only weights have no need of, in all pickles that stand one behind the other.

    Args:
        content: of the file.
        is_torchscript: the classes of a scripted network may be named.
    """
    stream, names, count = io.BytesIO(content), dict[str, None](), 0
    while stream.tell() < len(content):
        some: list[str] = []
        try:
            for name in _globals(stream):
                some.append(name)
        except ERRORS as error:
            if count == 0:
                yield f"its opcodes cannot be read to the end ({error})"
            if count <= OF_LEGACY or any(not PLAIN.fullmatch(name) and "." in name for name in some):
                names |= dict.fromkeys(some)  # they are called before the end is missed
            break
        names |= dict.fromkeys(some)
        count += 1
    for name in names:
        if not (PLAIN.fullmatch(name) or (is_torchscript and OF_TORCHSCRIPT.fullmatch(name))):
            yield f"names '{name}', which loading it calls or makes"


def is_pickle_in_text(content: bytes) -> bool:
    """Whether a text can be loaded as a pickle that calls something."""
    names, called = 0, False
    try:
        for opcode, _, _ in pickletools.genops(io.BytesIO(content)):
            names += opcode.name in LOOK_UP
            called = called or (names > 0 and opcode.name in CALL)
    except ERRORS:
        return called
    return names > 0


def _globals(stream: io.BytesIO) -> Iterator[str]:
    """The names that one pickle looks up, as `module.name`.

    The stack is followed as far as texts lie on it, as `pickletools.dis` follows it, for STACK_GLOBAL takes its names
    from there. A name that is not certain is `?`.
    """
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    for number, (opcode, arg, _) in enumerate(pickletools.genops(stream)):
        if number == MOST_OPCODES:
            raise ValueError(f"more than {MOST_OPCODES:,} opcodes")
        name, before = opcode.name, opcode.stack_before
        found = _looked_up(name, arg, stack)
        if found is not None:
            yield found
        if name == "BUILD" and len(stack) > 1 and isinstance(stack[-2], Global):
            yield f"{stack[-2]} with another state"
        if name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            memo[len(memo) if name == "MEMOIZE" else int(arg or 0)] = stack[-1]
            continue
        if name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(memo[int(arg or 0)])
            continue
        if name == "DUP":
            stack.append(stack[-1])
            continue
        if pickletools.markobject in before or (name == "POP" and stack and stack[-1] is MARK):
            while stack.pop() is not MARK:
                pass
            before = before[: before.index(pickletools.markobject)] if pickletools.markobject in before else []
        if before:
            if len(stack) < len(before):
                raise ValueError("it takes more from the stack than lies there")
            del stack[-len(before) :]
        for after in opcode.stack_after:
            is_text = isinstance(arg, str) and name not in ("INST", "PERSID")
            value = Global(found) if found is not None and name != "INST" else arg if is_text else THING
            stack.append(MARK if after is pickletools.markobject else value)


def _looked_up(name: str, arg: Any, stack: list[Any]) -> str | None:
    """What an opcode looks up; None: nothing."""
    if name in ("GLOBAL", "INST"):
        return str(arg).replace(" ", ".", 1)
    if name == "STACK_GLOBAL":
        parts = stack[-2:]
        known = len(parts) == 2 and all(isinstance(part, str) and not isinstance(part, Global) for part in parts)
        return ".".join(parts) if known else "?"
    return f"copyreg.extension_{arg}" if name in LOOK_UP else None
