from __future__ import annotations

import pytest

from medbundles import ranks
from medbundles.errors import ConfigError


def test_one_process_does_it_itself():
    assert ranks.done_by_rank_0(lambda: 3) == 3
    with pytest.raises(ConfigError, match="no"):
        ranks.done_by_rank_0(lambda: (_ for _ in ()).throw(ConfigError("no")))


def test_other_ranks_do_nothing_and_get_what_rank_0_has(monkeypatch):
    monkeypatch.setattr(ranks, "is_rank_0", lambda: False)
    done = []
    monkeypatch.setattr(ranks, "from_rank_0", lambda mine: ("made by rank 0", None))
    assert ranks.done_by_rank_0(lambda: done.append(1)) == "made by rank 0"
    monkeypatch.setattr(ranks, "from_rank_0", lambda mine: (None, ConfigError("rank 0 failed")))
    with pytest.raises(ConfigError, match="rank 0 failed"):
        ranks.done_by_rank_0(lambda: done.append(1))
    assert done == []
