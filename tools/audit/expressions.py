"""The small grammar of `$` expressions: references, paths, arithmetic and comparisons. All else is a finding."""

import ast
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Set
from itertools import product

from .finding import shown
from .names import FUNCTIONS, text_problem
from .paths import is_address, leaves

Problems = Iterator[tuple[str, str]]

REFERENCES = "__local_refs"  # MONAI puts this name in the place of each @id
REFERENCE = re.compile(r"@(?:\w*)(?:::\w*)*")
RELATIVE = re.compile(r"[@%](?:::)+")  # MONAI puts the keys above it in the place of the signs, in any text
LONGEST = 400  # signs that a person can still read
LARGEST_POWER, LARGEST_BASE, LARGEST_LENGTH = 64, 1e6, 1e7
MOST_TEXTS, DEEPEST = 64, 8  # that a sum of references may give, and references behind one another
KNOWN_AS = {"np": "numpy", "dist": "torch.distributed", "nn": "torch.nn"}
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
        if (name := _reference(node)) is not None:
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
            yield "expression", f"holds {_called(node)}, which is outside the small grammar"

    def _all(self, nodes: Iterable[ast.AST]) -> Problems:
        for node in nodes:
            yield from self._node(node)

    def _attribute(self, node: ast.Attribute) -> Problems:
        name = _dotted(node)
        if name is not None:
            if not READ.fullmatch(name):
                yield "expression", f"uses '{name}', which is not among the names that are known to be harmless"
        elif not _is_value(node.value) or node.attr not in ATTRIBUTES:
            yield "expression", f"reads '{node.attr}' of what a reference or an expression gives"
        else:
            yield from self._node(node.value)

    def _subscript(self, node: ast.Subscript) -> Problems:
        """An entry of what a reference gives, of its attribute, or of what a function gives; no part of a text."""
        base: ast.AST = node
        while isinstance(base, ast.Subscript) and _reference(base) is None:
            base = base.value
        inner = base.value if isinstance(base, ast.Attribute) else base
        if not (_is_value(inner) or isinstance(base, ast.Call)) or (
            isinstance(base, ast.Call) and isinstance(node.slice, ast.Slice)
        ):
            yield "expression", "takes a part of a text or of what is written here"
        yield from self._all([node.value, node.slice])

    def _call(self, node: ast.Call) -> Problems:
        name = _dotted(node.func)
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
            if node.func.attr not in METHODS or not _is_value(node.func.value):
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
            harmless = plain and texts[1] in ATTRIBUTES and _is_value(node.args[0])
            yield from self._all([node.args[0], *node.args[2:]] if plain else [])
        else:
            public = plain and str(texts[1]).isidentifier() and not str(texts[1]).startswith("_")
            harmless = public and isinstance(texts[-1], int | float) and _dotted(node.args[0]) in SET
        if not harmless:
            yield "expression", f"calls {name} with something else than an attribute that is known to be harmless"

    def _operation(self, node: ast.BinOp) -> Problems:
        yield from self._node(node.op)
        sides = [node.left, node.right]
        is_sum = isinstance(node.op, ast.Add)  # whose text is judged as a whole
        if is_sum:
            yield from self._texts(node)
        elif isinstance(node.op, ast.Mult | ast.Mod | ast.Pow) and any(_is_long(side) for side in sides):
            yield "expression", "multiplies or formats a text or a list"
        if isinstance(node.op, ast.Pow):
            base, power = (side.value if isinstance(side, ast.Constant) else None for side in sides)
            small = isinstance(power, int | float) and abs(power) <= LARGEST_POWER
            if not small or (isinstance(base, int | float) and abs(base) > LARGEST_BASE):
                yield "expression", f"raises to a power above {LARGEST_POWER}, or to one that is not written out"
        yield from self._all(side for side in sides if not (is_sum and _is_text(side)))

    def _texts(self, node: ast.AST) -> Problems:
        """What is wrong with the texts that a sum, an f-string or a joined path gives."""
        texts = self._static(node, 0)
        if len(texts) > MOST_TEXTS:
            yield "expression", "can give too many texts to be judged"
        seen = {problem: None for text in texts[:MOST_TEXTS] for problem in _text(text)}
        yield from seen
        hidden = [part for part in _summands(node) if not _is_static(part)]
        if hidden and any(_is_text(part) for part in _summands(node)):
            yield "expression", f"builds a text from {_called(hidden[0])}"

    def _static(self, node: ast.AST, depth: int) -> list[str]:
        """The texts that an expression can give, with a sign for each part that is known only when it runs."""
        if depth > DEEPEST:
            return ["\0"]
        if isinstance(node, ast.Constant):
            return [str(node.value)]
        if (name := _reference(node)) is not None:
            return [text for value in self.values.get(name, []) for text in self._meant(value, depth + 1)] or ["\0"]
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            return self._joined([node.left, node.right], "", depth)
        if isinstance(node, ast.JoinedStr):
            return self._joined(node.values, "", depth)
        if isinstance(node, ast.FormattedValue):
            return self._static(node.value, depth)
        if isinstance(node, ast.Call) and _dotted(node.func) == "os.path.join":
            return self._joined(node.args, "/", depth)
        if isinstance(node, ast.Call) and _dotted(node.func) == "str" and len(node.args) == 1:
            return self._static(node.args[0], depth)
        if isinstance(node, ast.IfExp):
            return self._static(node.body, depth) + self._static(node.orelse, depth)
        if isinstance(node, ast.BoolOp):
            return [text for value in node.values for text in self._static(value, depth)]
        return ["\0"]

    def _joined(self, parts: Iterable[ast.AST], sign: str, depth: int) -> list[str]:
        texts = [""]
        for number, part in enumerate(parts):
            more = self._static(part, depth)
            texts = [a + (sign if number else "") + b for a, b in product(texts[: MOST_TEXTS + 1], more)]
        return texts

    def _meant(self, value: object, depth: int) -> list[str]:
        """The texts that a value of a config can be."""
        if not isinstance(value, str):
            return ["\0"]
        if value.startswith("@"):
            name = value[1:].replace("#", "::")
            return [text for inner in self.values.get(name, []) for text in self._meant(inner, depth + 1)][:99] \
                if depth < DEEPEST else ["\0"]  # fmt: skip
        if value.startswith("$"):
            node, _ = parsed(value)
            return self._static(node.value, depth + 1) if isinstance(node, ast.Expr) else ["\0"]
        return [value]


def parsed(text: str) -> tuple[ast.stmt | None, str]:
    """The one statement of an expression, as MONAI has it evaluated; None and why, where there is none."""
    code = text[1:].replace("#", "::")
    if REFERENCES in code or "\0" in code:
        return None, f"names MONAI's own {REFERENCES}"
    if not re.sub(r"'[^'\\]*'|\"[^\"\\]*\"", "", code).isascii() or (
        not code.isascii() and re.search(r"\\|'''|\"\"\"", code)
    ):
        return None, "holds letters that Python reads as others"
    code = RELATIVE.sub("@", code)
    for found in sorted(REFERENCE.findall(code), key=len, reverse=True):
        code = code.replace(found, f"{REFERENCES}['{found[1:]}']")  # as MONAI does it
    try:
        tree = ast.parse(code.strip())
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None, "is no Python expression"
    if len(tree.body) != 1 or not isinstance(tree.body[0], ast.Expr | ast.Import | ast.ImportFrom):
        return None, "is no single expression"
    return tree.body[0], ""


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


def _reference(node: ast.AST) -> str | None:
    """The id that stands here; None: something else."""
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id == REFERENCES:
        return node.slice.value if isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str) else None
    return None


def _is_value(node: ast.AST) -> bool:
    """Whether it is a reference, or an entry of one."""
    while isinstance(node, ast.Subscript) and _reference(node) is None:
        node = node.value
    return _reference(node) is not None


def _summands(node: ast.AST) -> list[ast.AST]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _summands(node.left) + _summands(node.right)
    if isinstance(node, ast.JoinedStr):
        return [part for value in node.values for part in _summands(value)]
    if isinstance(node, ast.FormattedValue):
        return _summands(node.value)
    if isinstance(node, ast.Call) and _dotted(node.func) == "os.path.join":
        return [part for arg in node.args for part in _summands(arg)]
    if isinstance(node, ast.IfExp):
        return _summands(node.body) + _summands(node.orelse)
    if isinstance(node, ast.BoolOp):
        return [part for value in node.values for part in _summands(value)]
    if isinstance(node, ast.Call) and _dotted(node.func) == "str" and len(node.args) == 1:
        return _summands(node.args[0])
    return [node]


def _is_static(node: ast.AST) -> bool:
    """Whether a summand's text is written out, or is that of a reference."""
    is_attribute = isinstance(node, ast.Attribute) and _is_value(node.value)
    return isinstance(node, ast.Constant) or _is_value(node) or is_attribute


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def _is_long(node: ast.AST) -> bool:
    is_bytes = isinstance(node, ast.Constant) and isinstance(node.value, bytes)
    return _is_text(node) or is_bytes or isinstance(node, ast.List | ast.Tuple | ast.Set)


def _is_large(node: ast.AST) -> bool:
    """Whether it is a large number, or makes one."""
    is_number = isinstance(node, ast.Constant) and isinstance(node.value, int | float)
    return isinstance(node, ast.Pow | ast.Mult) or (is_number and abs(node.value) > LARGEST_LENGTH)  # type: ignore[attr-defined]


def _is_type(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id in BUILTINS


def _parts(node: ast.AST) -> list[ast.AST]:
    return list(node.elts) if isinstance(node, ast.Tuple) else [node]


def _called(node: ast.AST) -> str:
    return f"'{node.id}'" if isinstance(node, ast.Name) else f"a {type(node).__name__.lower()}"


def _dotted(node: ast.AST) -> str | None:
    """`torch.cuda.is_available`, with known short names written out; None: it starts at something else than a name."""
    if isinstance(node, ast.Name):
        return KNOWN_AS.get(node.id, node.id)
    if isinstance(node, ast.Attribute) and (start := _dotted(node.value)) is not None:
        return f"{start}.{node.attr}"
    return None
