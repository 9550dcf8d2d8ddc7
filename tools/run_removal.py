"""Removes runs that were asked for, and nothing else."""

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from medbundles.errors import ConfigError, MedbundlesError, first_few, nearest
from medbundles.runs.lock import FolderLock, holder

# before the name of a run that is being removed: it is renamed first, so half of one is never left
REMOVING = ".removing~"


def remove_runs(base: Path, found: Sequence[Path], names: Sequence[str], yes: bool) -> list[Path]:
    """Remove runs, all of them or, where one is refused, none.

    Args:
        base: the folder that the names are below.
        found: the runs in it.
        names: of the runs to remove, relative to the base, or their last parts where only one run has them.
        yes: do not ask.

    Returns:
        Those that were removed; empty after a "no".

    Raises:
        ConfigError: a name that is of no run, or of several, or of one that is running; or nobody can be asked.
    """
    chosen = list(dict.fromkeys(_named(base, found, name) for name in names))
    for run in chosen:
        if other := next(filter(None, map(holder, _up_to(base, run))), None):
            raise ConfigError(f"{run}: is running ({other}); nothing was removed. End it first.")
    if not yes:
        if not sys.stdin.isatty():
            raise ConfigError("--remove: nobody can be asked here; give --yes. Nothing was removed.")
        print("to be removed:", *(f"  {run}" for run in chosen), sep="\n")
        if input("Remove them? [y/N] ").strip().lower() not in ("y", "yes"):
            print("nothing was removed")
            return []
    for run in chosen:
        _remove(run)
        print(f"removed {run}", flush=True)
    return chosen


def _up_to(base: Path, run: Path) -> list[Path]:
    """The run, and the folders around it, which a cross-validation or a training in stages may have."""
    return [run, *(folder for folder in run.parents if folder == base or base in folder.parents)]


def _named(base: Path, found: Sequence[Path], name: str) -> Path:
    wanted, there = name.strip("/").split("/"), {run.relative_to(base).as_posix(): run for run in found}
    if name.strip("/") in there:
        return there[name.strip("/")]
    fits = [known for known in there if known.split("/")[-len(wanted) :] == wanted]
    if len(fits) == 1:
        return there[fits[0]]
    if fits:
        raise ConfigError(f"--remove: {name} fits {len(fits)} runs: {first_few(fits)}. Give more of the path.")
    near = nearest(name, there)
    hint = f"; did you mean {near}?" if near else "."
    raise ConfigError(f"--remove: {name} is no run in {base}{hint} Nothing was removed.")


def _remove(run: Path) -> None:
    """Rename, then delete; whoever wants to go on with the run meanwhile finds it whole or not at all."""
    lock = FolderLock(run)
    try:
        if other := lock.take():
            raise ConfigError(f"{run}: is running ({other}); it was not removed. End it first.")
        hidden = run if run.name.startswith(REMOVING) else run.rename(run.with_name(REMOVING + run.name))
        shutil.rmtree(hidden)
    except OSError as error:
        raise MedbundlesError(f"{error.filename or run}: cannot be removed: {error.strerror or error}") from error
    finally:
        lock.release()
