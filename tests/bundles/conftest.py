from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.bundles.setting_bench import Bench
from tests.bundles.setting_cases import BRAIN, Case


@pytest.fixture(scope="session")
def bench_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Case], Bench]]:
    """Gives the bench of a bundle, made when it is first asked for; what a test turns, it turns for itself."""
    made: dict[str, Bench] = {}

    def bench(case: Case) -> Bench:
        if case.name not in made:
            made[case.name] = case.bench(tmp_path_factory.mktemp(case.name))
        return made[case.name]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["test"])  # the preflight looks at it
        yield bench


@pytest.fixture(scope="session")
def brain_tumor(bench_of: Callable[[Case], Bench]) -> Bench:
    """The bench of the brain tumour bundle."""
    return bench_of(BRAIN)


EVALUATIONS = tuple(f"test_evaluation_is_the_same_with_two_processes[{name}]" for name in ("glioma", "dental"))


@pytest.hookimpl(tryfirst=True)  # before pytest leaves out what is slow
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What several processes do is tried once of a bundle that stands on the ladder twice, and so is what is stopped;
    an evaluation by several of two bundles. The rest is slow."""
    for item in items:
        words = ("processes", "stopped", "finished", "exit", "3d-2")
        twice = "-3d" in item.name and any(word in item.name for word in words)
        if twice or item.name.startswith(EVALUATIONS):
            item.add_marker(pytest.mark.slow)
