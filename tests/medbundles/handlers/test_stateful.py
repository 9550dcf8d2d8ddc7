from __future__ import annotations

from ignite.engine import Engine

from medbundles.handlers.stateful import stateful


def test_each_engine_has_its_own_parts_and_keeps_them():
    first, second = Engine(print), Engine(print)
    part = object()
    stateful(first)["part"] = part
    assert stateful(first) == {"part": part}
    assert stateful(second) == {}
