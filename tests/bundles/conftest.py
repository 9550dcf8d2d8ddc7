from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.bundles.brain_tumor_bench import BrainTumorBench


@pytest.fixture(scope="session")
def brain_tumor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrainTumorBench]:
    """A bench of the brain tumour bundle; what a test turns, it turns for itself."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["test"])  # the preflight looks at it
        yield BrainTumorBench(tmp_path_factory.mktemp("brain_tumor"))
