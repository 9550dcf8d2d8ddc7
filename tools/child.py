"""Bundles run as a user would run them: `python -m monai.bundle run` in the bundle's folder."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import medbundles
from medbundles.errors import MedbundlesError

GRACE = 3.0  # seconds a child gets to end by itself after Ctrl-C
POLL = 0.1  # seconds between two looks at the children
SHOWN_EVERY = 30.0  # seconds between two lines about what goes to a log
PR_SET_PDEATHSIG = 1  # of linux/prctl.h
TAIL = 4000  # bytes at the end of a log that are looked at
SHOWN = ("Epoch ", "Val ")  # how the lines of a log begin that are shown


@dataclass(frozen=True)
class Command:
    """A command to run.

    Args:
        words: the command line.
        folder: where it runs.
        what: what it does, for messages.
        log: its output is appended to this file; None: it goes to this console.
        environment: further variables.
    """

    words: Sequence[str]
    folder: Path
    what: str
    log: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


def bundle_command(files: Sequence[str | Path], settings: Mapping[str, Any]) -> list[str]:
    """The command line.

    Args:
        files: config files, merged in this order: names of the bundle's own, or paths.
        settings: id -> value; written so that MONAI reads back the same type ('2024' stays text).
    """
    names = [str(name) if isinstance(name, Path) else f"configs/{name}.json" for name in files]
    return [
        *(sys.executable, "-m", "monai.bundle", "run", "--config_file", repr(names)),
        *(f"--{name}={value!r}" for name, value in settings.items()),
    ]


def child_environment() -> dict[str, str]:
    """This environment, in which a child finds the same packages from any folder.

    MONAI's warning that a config is run as code means nothing where the config is one of ours.
    """
    roots = [str(Path(medbundles.__file__).parents[1]), str(Path(__file__).resolve().parents[1])]
    here = [os.path.abspath(path) for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    warnings = ",".join(filter(None, [os.environ.get("PYTHONWARNINGS"), "ignore:parsing config_file:UserWarning"]))
    return {**os.environ, "PYTHONPATH": os.pathsep.join([*roots, *here]), "PYTHONWARNINGS": warnings}


def run_children(jobs: Mapping[str, Generator[Command, int, None]], at_once: int = 1) -> list[str]:
    """Run jobs, several at the same time; the commands of a job follow one another.

    Ours and no library's, because jobs must be resumed, share the CPU's threads, and stop with Ctrl-C as one.

    A job yields its commands and is sent each one's exit code, 0. When a command fails, or the job itself with a
    MedbundlesError, the job ends and no new one is started; those that run go on to their end. Of output that goes to
    a log, what it says of its last epoch is shown from time to time.

    Args:
        jobs: name -> job.
        at_once: how many run at the same time.

    Returns:
        What failed, a text each.

    Raises:
        KeyboardInterrupt: after Ctrl-C, once all children have ended too.
        SystemExit: 143 after SIGTERM, once all children have ended too.
    """
    waiting, running, failed, last_lines = dict(jobs), dict[str, _Running](), list[str](), _LastLines()
    with _none_outlives_us(lambda: [child for _, _, child in running.values()]):
        while running or (waiting and not failed):
            while waiting and not failed and len(running) < at_once:
                name = next(iter(waiting))
                failed += _go_on(name, waiting.pop(name), None, running)
            time.sleep(POLL)
            last_lines.show(running)
            for name, (job, command, child) in list(running.items()):
                code = child.poll()
                if code is None:
                    continue
                del running[name]
                if code in (128 + signal.SIGINT, -signal.SIGINT):
                    raise KeyboardInterrupt
                if code:
                    where = f"; its output is in {command.log}" if command.log else ", see its messages above"
                    failed.append(f"{command.what} ended with exit code {code}{where}")
                else:
                    failed += _go_on(name, job, 0, running)
    return failed


_Running = tuple[Generator[Command, int, None], Command, subprocess.Popen]


class _LastLines:
    """Shows the last epoch of each job's log every `SHOWN_EVERY` seconds, when it is another than before."""

    def __init__(self) -> None:
        self.next = time.monotonic() + SHOWN_EVERY
        self.lines: dict[str, str] = {}

    def show(self, running: Mapping[str, _Running]) -> None:
        """Do it, if it is time."""
        if time.monotonic() < self.next:
            return
        self.next = time.monotonic() + SHOWN_EVERY
        for name, (_, command, _) in running.items():
            line = _last_epoch(command.log) if command.log else ""
            if line and line != self.lines.get(name):
                print(f"{name}: {line}", flush=True)
            self.lines[name] = line


def _last_epoch(log: Path) -> str:
    """Its line, and that of its validation."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - TAIL))
        lines = [line for line in file.read().decode("utf-8", "replace").splitlines() if line.startswith(SHOWN)]
    first = max((i for i, line in enumerate(lines) if line.startswith(SHOWN[0])), default=len(lines))
    return "; ".join(lines[first:])


def _go_on(name: str, job: Generator[Command, int, None], code: int | None, running: dict[str, _Running]) -> list[str]:
    """Start a job's next command, if it has one; returns what failed."""
    try:
        command = next(job) if code is None else job.send(code)
    except StopIteration:
        print(f"{name}: done", flush=True)
        return []
    except MedbundlesError as error:
        return [str(error)]
    print(f"=== {command.what}" + (f" (output: {command.log})" if command.log else ""), flush=True)
    environment = {**child_environment(), **command.environment}
    if command.log:
        command.log.parent.mkdir(parents=True, exist_ok=True)
    with command.log.open("a", encoding="utf-8") if command.log else nullcontext() as log:
        output: dict[str, Any] = {"stdout": log, "stderr": subprocess.STDOUT} if log else {}
        child = subprocess.Popen(
            list(command.words), cwd=command.folder, env=environment, preexec_fn=_ending_with(os.getpid()), **output
        )
    running[name] = (job, command, child)
    return []


def _ending_with(parent: int) -> Callable[[], None] | None:
    """What a child does before its program: ask Linux for a SIGTERM when its parent ends, if only by a kill -9.

    Other systems do not have it: there a child goes on when its parent was killed so.
    """
    if sys.platform != "linux":
        return None
    ask = ctypes.CDLL(None).prctl  # found here: between fork and exec as little as possible is done

    def prepare() -> None:
        ask(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it has ended already
            os._exit(128 + signal.SIGTERM)

    return prepare


@contextmanager
def _none_outlives_us(started: Callable[[], Sequence[subprocess.Popen]]) -> Iterator[None]:
    """Ctrl-C and SIGTERM end this process when all that it started has ended; whatever else happens kills them."""
    before = signal.signal(signal.SIGTERM, _terminated)
    try:
        yield
    except KeyboardInterrupt:  # a terminal tells the children as well; a kill of this process alone does not
        _end(started(), signal.SIGINT, GRACE)
        raise
    except SystemExit:
        _end(started(), signal.SIGTERM, 0.0)
        raise
    finally:
        signal.signal(signal.SIGTERM, before)
        for child in started():
            if child.poll() is None:
                child.kill()


def _end(started: Sequence[subprocess.Popen], number: int, grace: float) -> None:
    """Wait, then send the signal to those that still run, and wait for them."""
    end = time.monotonic() + grace
    for child in started:  # all get the same time, not one after the other
        with suppress(subprocess.TimeoutExpired):
            child.wait(max(0.0, end - time.monotonic()))
    late = [child for child in started if child.poll() is None]
    for child in late:
        child.send_signal(number)
    for child in late:
        child.wait()


def _terminated(number: int, frame: Any) -> None:
    raise SystemExit(128 + number)
