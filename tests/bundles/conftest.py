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


@pytest.hookimpl(tryfirst=True)  # before pytest leaves out what is slow
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of a bundle that stands on the ladder twice, what several processes do is tried once, the rest by name."""
    for item in items:
        if "-3d" in item.name and any(word in item.name for word in ("processes", "stopped", "finished", "exit")):
            item.add_marker(pytest.mark.slow)
