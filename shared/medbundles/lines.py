"""Lines for people: where they go, how wide they are, and times and sizes in words."""

import logging
import shlex
import sys
import textwrap

from medbundles.ranks import is_rank_0

WIDTH = 100  # columns of a line
COMMAND = "    python -m "  # a line that begins so stays whole, to be copied

logger = logging.getLogger("medbundles")


def typed(word: object) -> str:
    """A word of a command that is shown, such as a path with spaces, as one types it in a shell.

    Lists of names stand in double quotes, which shlex writes in a way that nobody reads.
    """
    text = str(word)
    return f'"{text}"' if "'" in text and not set(text) & set('"$`\\!') else shlex.quote(text)


def say(text: str) -> None:
    """A text for people, from rank 0: through the log where one is kept, else on stderr, beside a tool's result."""
    for line in wrapped(text) if is_rank_0() else ():
        if logger.isEnabledFor(logging.INFO):
            logger.info("%s", line)
        else:
            print(line, file=sys.stderr, flush=True)


def wrapped(text: str, head: str = "", indent: str = "  ") -> list[str]:
    """The text in lines of a log's width, later ones indented; what has no space, such as a path, stays whole.

    Args:
        text: one or several lines.
        head: stands before the first.
        indent: stands before those that follow because a line was too long.

    Example:
        >>> wrapped("a line", head="Train - ")
        ['Train - a line']
    """
    options = {"subsequent_indent": indent, "break_long_words": False, "break_on_hyphens": False}
    return [
        line
        for part in f"{head}{text}".splitlines()
        for line in ([part] if part.startswith(COMMAND) else textwrap.wrap(part, WIDTH, **options))  # type: ignore[arg-type]
    ]


def in_lines(record: logging.LogRecord) -> bool:
    """A filter of a logger, which lets everything pass: the message in lines of a log's width."""
    record.msg, record.args = "\n".join(wrapped(record.getMessage())), ()
    return True


def duration(seconds: float) -> str:
    """A time in words.

    Example:
        >>> duration(5000)
        '1 h 23 min'
    """
    minutes = round(seconds / 60)
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def size_in_words(size: float) -> str:
    """A number of bytes in words.

    Example:
        >>> size_in_words(3_280_000_000)
        '3.3 GB'
    """
    for unit in ("bytes", "kB", "MB"):
        if size < 999.5:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
