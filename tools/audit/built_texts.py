"""The texts that an expression puts together of what is written in it and in other values of the configs."""

import ast
from collections.abc import Iterable, Mapping
from itertools import islice, product

from .syntax import called, dotted, is_value, parsed, reference

MOST, LONGEST = 64, 10_000  # texts that one sum may give, and signs of each
DEEPEST = 8  # references behind one another
UNKNOWN = "\0"  # in the place of what is known only when it runs


class BuiltTexts:
    """The texts that a sum, an f-string or a joined path can give.

    Args:
        node: the expression.
        values: id -> the values that some config gives it.

    Attributes:
        texts: all of them, MOST at most.
        is_endless: whether there are more of them, or longer ones.
        hidden: what parts of it are called that are neither written out nor references.
        has_text: whether some part is a text that is written out.
    """

    def __init__(self, node: ast.AST, values: Mapping[str, list[object]]):
        self.values = values
        self.hidden: list[str] = []
        self.has_text = False
        self.known: dict[tuple[str, int], list[str]] = {}  # what was worked out, so that no id is gone into twice
        self.is_endless = False
        self.texts = self._within(self._of(node, 0))

    def _of(self, node: ast.AST, depth: int) -> list[str]:
        if depth > DEEPEST:
            return [UNKNOWN]
        if isinstance(node, ast.Constant):
            self.has_text = self.has_text or (depth == 0 and isinstance(node.value, str))
            return [str(node.value)]
        if (name := reference(node)) is not None:
            return self._of_value(name, depth)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            return self._joined([node.left, node.right], "", depth)
        if isinstance(node, ast.JoinedStr):
            return self._joined(node.values, "", depth)
        if isinstance(node, ast.FormattedValue):
            return self._of(node.value, depth)
        if isinstance(node, ast.Call) and dotted(node.func) == "os.path.join":
            return self._joined(node.args, "/", depth)
        if isinstance(node, ast.Call) and dotted(node.func) == "str" and len(node.args) == 1:
            return self._of(node.args[0], depth)
        if isinstance(node, ast.IfExp | ast.BoolOp):
            choices = node.values if isinstance(node, ast.BoolOp) else [node.body, node.orelse]
            return self._within(text for choice in choices for text in self._of(choice, depth))
        if depth == 0 and not is_value(node.value if isinstance(node, ast.Attribute) else node):
            self.hidden.append(called(node))
        return [UNKNOWN]

    def _joined(self, parts: Iterable[ast.AST], sign: str, depth: int) -> list[str]:
        texts = [""]
        for number, part in enumerate(parts):
            more = self._of(part, depth)
            texts = self._within(a + (sign if number else "") + b for a, b in product(texts, more))
        return texts

    def _within(self, texts: Iterable[str]) -> list[str]:
        """The first of the texts, and the first signs of each."""
        some = list(islice(texts, MOST + 1))
        self.is_endless = self.is_endless or len(some) > MOST or any(len(text) > LONGEST for text in some)
        return [text[:LONGEST] for text in some[:MOST]]

    def _of_value(self, name: str, depth: int) -> list[str]:
        """The texts of an id's values; an expression's own parts are judged where it stands."""
        if (name, depth) in self.known:
            return self.known[name, depth]
        texts: list[str] = []
        for value in self.values.get(name, []) if depth < DEEPEST else []:
            if not isinstance(value, str):
                texts.append(UNKNOWN)
            elif value.startswith("@"):
                texts += self._of_value(value[1:].replace("#", "::"), depth + 1)
            elif value.startswith("$"):
                node, _ = parsed(value)
                texts += self._of(node.value, depth + 1) if isinstance(node, ast.Expr) else [UNKNOWN]
            else:
                texts.append(value)
        self.known[name, depth] = self._within(texts) or [UNKNOWN]
        return self.known[name, depth]
