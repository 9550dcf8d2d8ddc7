"""The small grammar of `$` expressions: references, paths, arithmetic and comparisons. All else is a finding."""

import ast
import math
import re
from collections.abc import Iterable, Iterator

from ..audit.names import FUNCTIONS, text_problem
from ..audit.paths import is_address, leaves

REFERENCES = "__local_refs"  # MONAI puts this name in the place of each @id
REFERENCE = re.compile(r"@(?:\w*)(?:::\w*)*")
RELATIVE = re.compile(r"@(?:::)+")
LONGEST = 400  # signs that a person can still read
LARGEST_POWER, LARGEST_BASE = 64, 1e6
KNOWN_AS = {"np": "numpy", "dist": "torch.distributed", "nn": "torch.nn"}
IMPORTS = {"torch", "torch.distributed", "torch.nn", "numpy", "math", "os", "os.path", "glob", "monai", "ignite"}
BUILTINS = {
    "abs", "all", "any", "bool", "dict", "divmod", "enumerate", "float", "frozenset", "int", "isinstance", "len",
    "list", "max", "min", "print", "range", "reversed", "round", "set", "slice", "sorted", "str", "sum", "tuple",
    "zip",
}  # fmt: skip
CALLED = FUNCTIONS | {
    "torch.manual_seed", "torch.cuda.is_available", "torch.cuda.device_count", "torch.cuda.set_device",
    "torch.cuda.current_device", "torch.backends.mps.is_available", "torch.set_float32_matmul_precision",
    "torch.distributed.is_available", "torch.distributed.is_initialized", "torch.distributed.init_process_group",
    "torch.distributed.destroy_process_group", "torch.distributed.barrier", "torch.distributed.get_rank",
    "torch.distributed.get_world_size", "torch.distributed.get_node_local_rank",
    "torch.distributed.is_torchelastic_launched", "os.path.join", "os.path.basename", "os.path.exists",
    "os.path.isfile", "os.path.isdir", "os.path.splitext", "glob.glob",
    *(f"math.{name}" for name in vars(math) if not name.startswith("_")),
}  # fmt: skip
READ = re.compile(r"torch\.(b?float|u?int|complex)\d*|torch\.(bool|long|half|double)|(numpy|math)\.(inf|nan|pi|e|tau)|"
                  r"numpy\.(float|u?int)\d*")  # fmt: skip
SET = {"torch.backends.cudnn", "torch.backends.cuda.matmul", "torch.distributed"}  # setattr of a number or of True
METHODS = {
    "run", "to", "cpu", "cuda", "eval", "train", "parameters", "named_parameters", "state_dict", "get", "items", "keys",
    "values", "index", "count", "lower", "upper", "strip", "split", "startswith", "endswith", "replace", "join", "copy",
}  # fmt: skip
FRAMES = {"gi_frame", "gi_code", "cr_frame", "cr_code", "ag_frame", "ag_code", "tb_frame", "tb_next", "f_globals",
          "f_locals", "f_builtins", "f_back", "f_code", "func_globals", "func_code", "mro"}  # fmt: skip
PLAIN = (ast.BoolOp, ast.And, ast.Or, ast.UnaryOp, ast.Not, ast.USub, ast.UAdd, ast.Invert, ast.Compare, ast.Eq,
         ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Is, ast.IsNot, ast.In, ast.NotIn, ast.IfExp, ast.Tuple,
         ast.List, ast.Set, ast.Subscript, ast.Slice, ast.JoinedStr, ast.FormattedValue, ast.Load, ast.Add, ast.Sub,
         ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow, ast.Expression)  # fmt: skip


def problems(text: str) -> Iterator[tuple[str, str]]:
    """What of an expression lies outside the grammar: the rule, and what.

    Args:
        text: of a config's value, with its `$`.
    """
    code = text[1:].replace("#", "::")
    if REFERENCES in code or "\0" in code:
        yield "expression", f"{shown(text)} names MONAI's own {REFERENCES}"
        return
    if len(text) > LONGEST:
        yield "expression", f"{shown(text)} is longer than {LONGEST} signs"
        return
    for found in sorted(REFERENCE.findall(RELATIVE.sub("@", code)), key=len, reverse=True):
        code = RELATIVE.sub("@", code).replace(found, f"{REFERENCES}['{found[1:]}']")  # as MONAI does it
    try:
        tree = ast.parse(code.strip())
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        yield "expression", f"{shown(text)} is no Python expression"
        return
    if len(tree.body) == 1 and isinstance(tree.body[0], ast.Import | ast.ImportFrom):
        yield from _import(tree.body[0])
    elif len(tree.body) != 1 or not isinstance(tree.body[0], ast.Expr):
        yield "expression", f"{shown(text)} is no single expression"
    else:
        for rule, what in _node(tree.body[0].value):
            yield rule, f"{shown(text)} {what}"


def shown(text: str) -> str:
    """A text for a message: on one line, cut where it is long."""
    return repr(text if len(text) <= 120 else text[:117] + "...")


def _import(node: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, str]]:
    if isinstance(node, ast.ImportFrom):
        yield "import", f"'{ast.unparse(node)}': write the full name where it is used"
        return
    for name in node.names:
        known = name.name in IMPORTS and (name.asname is None or KNOWN_AS.get(name.asname) == name.name)
        if not known:
            yield "import", f"'{ast.unparse(node)}' is not among the imports that are known to be harmless"


def _node(node: ast.AST) -> Iterator[tuple[str, str]]:
    """What is wrong with a part of an expression, and with what it holds."""
    if _is_reference(node):
        return
    if isinstance(node, ast.Constant):
        yield from _text(node.value)
    elif isinstance(node, ast.Name):
        if node.id not in BUILTINS:
            yield "expression", f"uses '{node.id}'"
    elif isinstance(node, ast.Attribute):
        yield from _attribute(node)
    elif isinstance(node, ast.Call):
        yield from _call(node)
    elif isinstance(node, ast.BinOp):
        yield from _operation(node)
    elif isinstance(node, ast.Dict):
        yield from _all([key for key in node.keys if key is not None] + node.values)
        if None in node.keys:
            yield "expression", "unpacks with **"
    elif isinstance(node, PLAIN):
        inner: Iterable[ast.AST] = ast.iter_child_nodes(node)
        if isinstance(node, ast.JoinedStr):  # whose text is judged as a whole
            yield from _text(_static(node))
            inner = [part for part in node.values if not isinstance(part, ast.Constant)]
        yield from _all(inner)
    else:
        yield "expression", f"holds a {type(node).__name__.lower()}, which is outside the small grammar"


def _all(nodes: Iterable[ast.AST]) -> Iterator[tuple[str, str]]:
    for node in nodes:
        yield from _node(node)


def _attribute(node: ast.Attribute) -> Iterator[tuple[str, str]]:
    name = _dotted(node)
    if name is None:
        if node.attr.startswith("_") or node.attr in FRAMES:
            yield "expression", f"reads '{node.attr}'"
        yield from _node(node.value)
    elif not READ.fullmatch(name):
        yield "expression", f"uses '{name}', which is not among the names that are known to be harmless"


def _call(node: ast.Call) -> Iterator[tuple[str, str]]:
    name = _dotted(node.func)
    yield from _all(node.args if name != "setattr" else [])
    yield from _all(keyword.value for keyword in node.keywords)
    if any(keyword.arg is None for keyword in node.keywords):
        yield "expression", "unpacks with **"
    if name in ("getattr", "setattr"):
        yield from _by_literal_name(name, node)
    elif name is not None:
        if name not in CALLED and name not in BUILTINS:
            yield "expression", f"calls '{name}', which is not among the functions that are known to be harmless"
        if name == "os.path.join":
            yield from _text(_static(node))
    elif isinstance(node.func, ast.Attribute):
        yield from _node(node.func.value)
        if node.func.attr not in METHODS:
            yield "expression", f"calls the method '{node.func.attr}', which is not among those known to be harmless"
    else:
        yield "expression", "calls what a reference or an expression gives"


def _by_literal_name(name: str, node: ast.Call) -> Iterator[tuple[str, str]]:
    """getattr of a public attribute, and setattr of a number on one of torch's switches."""
    texts = [arg.value if isinstance(arg, ast.Constant) else None for arg in node.args]
    public = len(texts) > 1 and isinstance(texts[1], str) and texts[1].isidentifier() and not texts[1].startswith("_")
    if name == "getattr":
        harmless = public and texts[1] not in FRAMES and len(texts) in (2, 3) and not node.keywords
    else:
        is_number = len(texts) == 3 and isinstance(texts[2], int | float)
        harmless = public and is_number and _dotted(node.args[0]) in SET
    if not harmless:
        yield "expression", f"calls {name} with something else than a plain public name"


def _operation(node: ast.BinOp) -> Iterator[tuple[str, str]]:
    yield from _node(node.op)
    sides = [node.left, node.right]
    texts = [isinstance(side, ast.JoinedStr) or isinstance(getattr(side, "value", None), str | bytes) for side in sides]
    if isinstance(node.op, ast.Add):
        yield from _text(_static(node))
    elif isinstance(node.op, ast.Mult | ast.Mod | ast.Pow) and (
        any(text and not _is_reference(side) for text, side in zip(texts, sides, strict=True))
        or any(isinstance(side, ast.List | ast.Tuple | ast.Set) for side in sides)
    ):
        yield "expression", "multiplies or formats a text or a list"
    if isinstance(node.op, ast.Pow):
        base, power = (side.value if isinstance(side, ast.Constant) else None for side in sides)
        small = isinstance(power, int | float) and abs(power) <= LARGEST_POWER
        if not small or (isinstance(base, int | float) and abs(base) > LARGEST_BASE):
            yield "expression", f"raises to a power above {LARGEST_POWER}, or to one that is not written out"
    in_sum = isinstance(node.op, ast.Add)  # whose text was judged as a whole
    yield from _all(side for side in sides if not (in_sum and isinstance(getattr(side, "value", None), str)))


def _text(value: object) -> Iterator[tuple[str, str]]:
    if not isinstance(value, str):
        return
    if leaves(value):
        yield "path", "holds a path that leaves the bundle"
    if is_address(value):
        yield "url", "holds an address"
    if problem := text_problem(value):
        yield "expression", problem


def _static(node: ast.AST) -> str:
    """The text that an expression gives, with a sign for each part that is known only when it runs."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _static(node.left) + _static(node.right)
    if isinstance(node, ast.JoinedStr):
        return "".join(map(_static, node.values))
    if isinstance(node, ast.Call) and _dotted(node.func) == "os.path.join":
        return "/".join(map(_static, node.args))
    return "\0"


def _is_reference(node: ast.AST) -> bool:
    return isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id == REFERENCES


def _dotted(node: ast.AST) -> str | None:
    """`torch.cuda.is_available`, with known short names written out; None: it starts at something else than a name."""
    if isinstance(node, ast.Name):
        return KNOWN_AS.get(node.id, node.id)
    if isinstance(node, ast.Attribute) and (start := _dotted(node.value)) is not None:
        return f"{start}.{node.attr}"
    return None
