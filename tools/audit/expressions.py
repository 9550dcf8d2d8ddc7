"""The small grammar of `$` expressions: references, paths, arithmetic and comparisons. All else is a finding."""

import ast
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Set

from .built_texts import BuiltTexts
from .finding import shown
from .names import FUNCTIONS, text_problem
from .paths import is_address, leaves
from .syntax import KNOWN_AS, called, dotted, is_text, is_value, parsed, reference

Problems = Iterator[tuple[str, str]]

LONGEST = 400  # signs that a person can still read
LARGEST_POWER, LARGEST_BASE, LARGEST_LENGTH = 64, 1e6, 1e7
IMPORTS = {"torch", "torch.distributed", "torch.nn", "numpy", "math", "os", "os.path", "glob", "monai", "ignite"}
BUILTINS = {
    "abs", "all", "any", "bool", "dict", "divmod", "enumerate", "float", "frozenset", "int", "isinstance", "len",
    "list", "max", "min", "print", "range", "reversed", "round", "set", "slice", "sorted", "str", "sum", "tuple", "zip",
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
MAKE_LONG = {"range", "torch.zeros", "torch.ones", "torch.arange", "torch.linspace", "numpy.arange", "numpy.linspace"}
READ = re.compile(r"torch\.(b?float|u?int|complex)\d*|torch\.(bool|long|half|double)|(numpy|math)\.(inf|nan|pi|e|tau)|"
                  r"numpy\.(float|u?int)\d*|monai\.utils\.CommonKeys\.[A-Z]+")  # fmt: skip
SET = {"torch.backends.cudnn", "torch.backends.cuda.matmul", "torch.distributed"}  # setattr of a number or of True
# of what a reference gives: one of these, and nothing of what that gives
ATTRIBUTES = {"engine_amp", "tracked_name", "monitor", "data", "modalities", "scale", "shape", "max_epochs"}
METHODS = {"run", "to", "parameters", "named_parameters", "state_dict", "get", "items", "keys", "values", "index"}
PLAIN = (ast.BoolOp, ast.And, ast.Or, ast.UnaryOp, ast.Not, ast.USub, ast.UAdd, ast.Invert, ast.Compare, ast.Eq,
         ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Is, ast.IsNot, ast.In, ast.NotIn, ast.IfExp, ast.Tuple,
         ast.List, ast.Set, ast.Slice, ast.FormattedValue, ast.Load, ast.Add, ast.Sub, ast.Mult, ast.Div,
         ast.FloorDiv, ast.Mod, ast.Pow)  # fmt: skip


class Grammar:
    """Judges expressions.

    Args:
        values: id -> the values that some config gives it; texts that references join are judged as a whole.
        modules: ids of import statements, whose value is a module.
    """

    def __init__(self, values: Mapping[str, list[object]], modules: Set[str]):
        self.values, self.modules = values, modules

    def problems(self, text: str) -> Problems:
        """What of a value lies outside the grammar: the rule, and what.

        Args:
            text: the value, with its `$`.
        """
        if len(text) > LONGEST:
            yield "expression", f"{shown(text)} is longer than {LONGEST} signs"
            return
        node, problem = parsed(text)
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from _import(node)
        elif isinstance(node, ast.Expr):
            for rule, what in self._node(node.value):
                yield rule, f"{shown(text)} {what}"
        else:
            yield "expression", f"{shown(text)} {problem}"

    def reference_problem(self, name: str) -> str | None:
        """Why a value must not be referred to; None where it may."""
        if name.split("::")[0] == "_meta_":
            return "takes a value of metadata.json, which may name addresses"
        if any(module == name or module.startswith(f"{name}::") for module in self.modules):
            return f"refers to a module that '{name.replace('::', '#')}' imports"
        return None

    def _node(self, node: ast.AST) -> Problems:
        """What is wrong with a part of an expression, and with what it holds."""
        if (name := reference(node)) is not None:
            if problem := self.reference_problem(name):
                yield "reference", problem
        elif isinstance(node, ast.Constant):
            yield from _text(node.value)
        elif isinstance(node, ast.Attribute):
            yield from self._attribute(node)
        elif isinstance(node, ast.Call):
            yield from self._call(node)
        elif isinstance(node, ast.BinOp):
            yield from self._operation(node)
        elif isinstance(node, ast.JoinedStr):
            yield from self._texts(node)
            yield from self._all(part.value for part in node.values if isinstance(part, ast.FormattedValue))
        elif isinstance(node, ast.Subscript):
            yield from self._subscript(node)
        elif isinstance(node, ast.Dict):
            yield from self._all([key for key in node.keys if key is not None] + node.values)
            if None in node.keys:
                yield "expression", "unpacks with **"
        elif isinstance(node, PLAIN):
            yield from self._all(ast.iter_child_nodes(node))
        else:
            yield "expression", f"holds {called(node)}, which is outside the small grammar"

    def _all(self, nodes: Iterable[ast.AST]) -> Problems:
        for node in nodes:
            yield from self._node(node)

    def _attribute(self, node: ast.Attribute) -> Problems:
        name = dotted(node)
        if name is not None:
            if not READ.fullmatch(name):
                yield "expression", f"uses '{name}', which is not among the names that are known to be harmless"
        elif not is_value(node.value) or node.attr not in ATTRIBUTES:
            yield "expression", f"reads '{node.attr}' of what a reference or an expression gives"
        else:
            yield from self._node(node.value)

    def _subscript(self, node: ast.Subscript) -> Problems:
        """An entry of what a reference gives, of its attribute, or of what a function gives; no part of a text."""
        base: ast.AST = node
        while isinstance(base, ast.Subscript) and reference(base) is None:
            base = base.value
        inner = base.value if isinstance(base, ast.Attribute) else base
        if not (is_value(inner) or isinstance(base, ast.Call)) or (
            isinstance(base, ast.Call) and isinstance(node.slice, ast.Slice)
        ):
            yield "expression", "takes a part of a text or of what is written here"
        yield from self._all([node.value, node.slice])

    def _call(self, node: ast.Call) -> Problems:
        name = dotted(node.func)
        given: list[ast.AST] = [*node.args, *(keyword.value for keyword in node.keywords)]
        if name == "setattr" or name == "getattr":
            yield from self._by_literal_name(name, node)
            return
        if name == "isinstance" and len(given) == 2:
            given = [given[0], *(part for part in _parts(given[1]) if not _is_type(part))]
        yield from self._all(given)
        if any(keyword.arg is None for keyword in node.keywords):
            yield "expression", "unpacks with **"
        if name in BUILTINS and name != "dict" and node.keywords:
            yield "expression", f"gives {name} an argument by name, which could be called"
        if name in MAKE_LONG and any(_is_large(part) for arg in given for part in ast.walk(arg)):
            yield "expression", f"makes {name} longer than any data"
        if name is not None:
            if name not in CALLED and name not in BUILTINS:
                yield "expression", f"calls '{name}', which is not among the functions that are known to be harmless"
            if name == "os.path.join":
                yield from self._texts(node)
        elif isinstance(node.func, ast.Attribute):
            yield from self._node(node.func.value)
            if node.func.attr not in METHODS or not is_value(node.func.value):
                yield (
                    "expression",
                    f"calls the method '{node.func.attr}', which is not among those known to be harmless",
                )
        else:
            yield "expression", "calls what a reference or an expression gives"

    def _by_literal_name(self, name: str, node: ast.Call) -> Problems:
        """getattr of an attribute that may be read, and setattr of a number on one of torch's switches."""
        texts = [arg.value if isinstance(arg, ast.Constant) else None for arg in node.args]
        plain = not node.keywords and len(texts) in (2, 3) and isinstance(texts[1], str)
        if name == "getattr":
            harmless = plain and texts[1] in ATTRIBUTES and is_value(node.args[0])
            yield from self._all([node.args[0], *node.args[2:]] if plain else [])
        else:
            public = plain and str(texts[1]).isidentifier() and not str(texts[1]).startswith("_")
            harmless = public and isinstance(texts[-1], int | float) and dotted(node.args[0]) in SET
        if not harmless:
            yield "expression", f"calls {name} with something else than an attribute that is known to be harmless"

    def _operation(self, node: ast.BinOp) -> Problems:
        yield from self._node(node.op)
        parts = _summands(node)
        if isinstance(node.op, ast.Add):  # whose text is judged as a whole
            yield from self._texts(node)
            parts = [part for part in parts if not (isinstance(part, ast.Constant) and isinstance(part.value, str))]
        elif isinstance(node.op, ast.Mult | ast.Mod | ast.Pow) and any(_is_long(part) for part in parts):
            yield "expression", "multiplies or formats a text or a list"
        if isinstance(node.op, ast.Pow):
            base, power = [part.value if isinstance(part, ast.Constant) else None for part in parts]
            small = isinstance(power, int | float) and abs(power) <= LARGEST_POWER
            if not small or (isinstance(base, int | float) and abs(base) > LARGEST_BASE):
                yield "expression", f"raises to a power above {LARGEST_POWER}, or to one that is not written out"
        yield from self._all(parts)

    def _texts(self, node: ast.AST) -> Problems:
        """What is wrong with the texts that a sum, an f-string or a joined path gives."""
        built = BuiltTexts(node, self.values)
        if built.is_endless:
            yield "expression", "can give too many or too long texts to be judged"
        yield from {problem: None for text in built.texts for problem in _text(text)}
        if built.hidden and built.has_text:
            yield "expression", f"builds a text from {built.hidden[0]}"


def _import(node: ast.Import | ast.ImportFrom) -> Problems:
    if isinstance(node, ast.ImportFrom):
        yield "import", f"'{ast.unparse(node)}': write the full name where it is used"
        return
    for name in node.names:
        known = name.name in IMPORTS and (name.asname is None or KNOWN_AS.get(name.asname) == name.name)
        if not known:
            yield "import", f"'{ast.unparse(node)}' is not among the imports that are known to be harmless"


def _text(value: object) -> Problems:
    if not isinstance(value, str):
        return
    if leaves(value):
        yield "path", "holds a path that leaves the bundle"
    if is_address(value):
        yield "url", "holds an address"
    if problem := text_problem(value):
        yield "expression", problem


def _summands(node: ast.AST) -> list[ast.AST]:
    """The parts of a sum, however long it is; both sides of another operation."""
    if not isinstance(node, ast.BinOp):
        return [node]
    sides: list[ast.AST] = [node.left, node.right]
    if not isinstance(node.op, ast.Add):
        return sides
    sums = (isinstance(side, ast.BinOp) and isinstance(side.op, ast.Add) for side in sides)
    return [part for side, more in zip(sides, sums, strict=True) for part in (_summands(side) if more else [side])]


def _is_long(node: ast.AST) -> bool:
    is_bytes = isinstance(node, ast.Constant) and isinstance(node.value, bytes)
    return is_text(node) or is_bytes or isinstance(node, ast.List | ast.Tuple | ast.Set)


def _is_large(node: ast.AST) -> bool:
    """Whether it is a large number, or makes one."""
    is_number = isinstance(node, ast.Constant) and isinstance(node.value, int | float)
    return isinstance(node, ast.Pow | ast.Mult) or (is_number and abs(node.value) > LARGEST_LENGTH)  # type: ignore[attr-defined]


def _is_type(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id in BUILTINS


def _parts(node: ast.AST) -> list[ast.AST]:
    return list(node.elts) if isinstance(node, ast.Tuple) else [node]
