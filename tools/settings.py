"""The table of settings in a bundle's docs, made from schema.json and train.json."""

import re
from pathlib import Path
from typing import Any

from medbundles.atomic_files import write_text_atomic
from medbundles.errors import ConfigError, MedbundlesError
from medbundles.preflight.schema import Setting, metric_names, read_settings
from medbundles.reports.tables import markdown_table

from .bundle import bundle_folder, read_config

BEGIN, END = "<!-- settings -->", "<!-- /settings -->"
FILES = ("train", "evaluate", "inference")  # where a default is looked up, in this order
MISSING = object()


def settings(bundle: str, write: bool = False, check: bool = False) -> str:
    """Show all settings of a bundle with default, allowed values, help and source; or keep its docs up to date.

    Args:
        bundle: name of a bundle in bundles/, or its folder.
        write: write the table into docs/README.md, between <!-- settings --> and <!-- /settings -->.
        check: end with exit code 1 when the table there is not the current one.

    Returns:
        The table in Markdown.

    Example:
        python -m tools settings brain_tumor_multitask_unet --write True
    """
    folder = bundle_folder(bundle)
    table = settings_table(folder)
    if not (write or check):
        print(table)
        return table
    path = folder / "docs" / "README.md"
    old = path.read_text(encoding="utf-8") if path.is_file() else ""
    new = _between_markers(old, table, path)
    command = f"python -m tools settings {folder.name} --write True"
    if new == old:
        print(f"{path}: the table of settings is current")
    elif write:
        write_text_atomic(path, new)
        print(f"{path}: the table of settings is written")
    else:
        raise MedbundlesError(f"{path}: the table of settings is stale; write it anew with '{command}'")
    return table


def settings_table(folder: Path) -> str:
    """The table of a bundle in Markdown, in the order of schema.json."""
    configs = [read_config(folder, name) for name in FILES if (folder / "configs" / f"{name}.json").is_file()]
    rows = [
        [f"`{s.id}`", _default(s, configs), _allowed(s, configs[0]), s.schema["description"], _source(s)]
        for s in read_settings(folder / "configs" / "schema.json")
    ]
    return "\n".join(markdown_table(["setting", "default", "allowed", "what it does", "source"], rows))


def _allowed(setting: Setting, train: dict[str, Any]) -> str:
    if not setting.schema.get("metric"):
        return setting.allowed()
    return setting.allowed().replace("text", "one of " + ", ".join(map(repr, metric_names(train))))


def _between_markers(text: str, table: str, path: Path) -> str:
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise MedbundlesError(f"{path}: has no place for the table; put the lines {BEGIN} and {END} where it belongs")
    return f"{before}{BEGIN}\n\n{table}\n\n{END}{after}"


def _default(setting: Setting, configs: list[dict[str, Any]]) -> str:
    for config in configs:
        value: Any = config
        for part in setting.id.split("#"):
            value = value.get(part, MISSING) if isinstance(value, dict) else MISSING
        if value is not MISSING:
            return f"`{in_words(value)}`"
    raise ConfigError(f"schema.json: {setting.id} stands in none of {', '.join(FILES)}; remove it, or add it there")


def in_words(value: Any) -> str:
    """A default as one would type or read it: expressions and references without MONAI's signs.

    Example:
        >>> in_words("$@lr / 3"), in_words("$@dataset_dir + '/train'"), in_words(""), in_words(3e-4), in_words(True)
        ('lr / 3', 'dataset_dir/train', "''", '3e-4', 'True')
    """
    if isinstance(value, str) and value[:1] in ("$", "@"):
        return re.sub(r"^([\w#]+) \+ '(/[\w./]+)'$", r"\1\2", value.removeprefix("$").replace("@", ""))
    if isinstance(value, float):
        return re.sub(r"e([+-])0+(?=\d)", r"e\1", f"{value:g}" if abs(value) >= 1e-3 else _scientific(value))
    return value if isinstance(value, str) and value else repr(value)


def _scientific(value: float) -> str:
    digits = f"{value:.6e}" if value else "0"
    return re.sub(r"\.?0*e", "e", digits)


def _source(setting: Setting) -> str:
    return "{}, {}: {}".format(*setting.schema["source"]) if "source" in setting.schema else ""
