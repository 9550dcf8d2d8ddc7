"""How MONAI reads a `$` expression, and what its parts are."""

import ast
import re

REFERENCES = "__local_refs"  # MONAI puts this name in the place of each @id
REFERENCE = re.compile(r"@(?:\w*)(?:::\w*)*")
RELATIVE = re.compile(r"[@%](?:::)+")  # MONAI puts the keys above it in the place of the signs, in any text
KNOWN_AS = {"np": "numpy", "dist": "torch.distributed", "nn": "torch.nn"}


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


def reference(node: ast.AST) -> str | None:
    """The id that stands here; None: something else."""
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id == REFERENCES:
        return node.slice.value if isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str) else None
    return None


def is_value(node: ast.AST) -> bool:
    """Whether it is a reference, or an entry of one."""
    while isinstance(node, ast.Subscript) and reference(node) is None:
        node = node.value
    return reference(node) is not None


def is_text(node: ast.AST) -> bool:
    """Whether a text is written out, or an f-string."""
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def called(node: ast.AST) -> str:
    """What a message calls a part."""
    return f"'{node.id}'" if isinstance(node, ast.Name) else f"a {type(node).__name__.lower()}"


def dotted(node: ast.AST) -> str | None:
    """`torch.cuda.is_available`, with known short names written out; None: it starts at something else than a name."""
    if isinstance(node, ast.Name):
        return KNOWN_AS.get(node.id, node.id)
    if isinstance(node, ast.Attribute) and (start := dotted(node.value)) is not None:
        return f"{start}.{node.attr}"
    return None
