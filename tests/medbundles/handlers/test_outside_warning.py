from __future__ import annotations

import logging

from ignite.engine import Engine

from medbundles.handlers import OutsideWarning


def test_inputs_are_counted_once_and_told_at_the_end(caplog):
    engine = Engine(lambda engine, batch: batch)
    OutsideWarning().attach(engine)
    far = "size 9 pixels, the training had 100 to 200"
    batches = [{"name": ["v", "v"], "outside": [far, far]}, {"name": ["v", "a"], "outside": [far, ""]}]
    with caplog.at_level(logging.WARNING, "medbundles"):
        engine.run(batches)
        engine.run(batches[1:])
    first, second = caplog.messages
    assert first == f"1 of 2 inputs are unlike the images of the training, so trust the results less: v ({far})"
    assert second == first
    caplog.clear()
    engine.run([{"name": ["a"], "outside": [""]}])
    engine.run([{"name": ["a"]}, {}])  # the preprocessing marks nothing; nothing could be read
    assert not caplog.messages
