"""Goes on from a checkpoint as if the run had never been interrupted."""

import logging
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.engines import SupervisedTrainer

from medbundles.data.lists.fingerprint import fingerprint
from medbundles.errors import CheckpointError, first_few
from medbundles.handlers.run import Run, run_of
from medbundles.handlers.stateful import stateful
from medbundles.inferers.autocast import precision_of
from medbundles.lines import typed
from medbundles.networks import bare_network
from medbundles.networks.memory_format import is_channels_last
from medbundles.ranks import rank_and_world
from medbundles.runs.checkpoints import load_checkpoint

logger = logging.getLogger("medbundles")
T_MAX = "scheduler#T_max"


def data_fingerprints(engine: SupervisedTrainer, validator: Any) -> dict[str, str]:
    """Fingerprints of the data that a trainer and its validator read."""
    loaders = {"training": engine.data_loader, "validation": validator.data_loader}
    return {part: fingerprint(loader.dataset.data) for part, loader in loaders.items()}


class Resume:
    """Restores network, optimizer, schedule, scaler, counters and history from the run's checkpoint at the start.

    Does nothing when the run directory was not asked to resume. A checkpoint that does not fit leaves nothing on disk.

    MONAI's CheckpointLoader is not used: it restores neither scaler, early stopping nor the best value, and without
    `strict` it loads nothing of a wrong file without a word.

    Raises:
        CheckpointError: no or damaged checkpoint; one without optimizer or schedule; one of another network, other
            data, or other settings (those the schema marks as free to change excepted: epochs, patience, workers ...).
    """

    phase = "resume"

    def attach(self, engine: Engine) -> None:
        """Wire it to the trainer."""
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: SupervisedTrainer) -> None:
        run = run_of(engine)
        # epoch > 0: a federated client runs the trainer again, with the server's weights
        path = run.directory.resume_file() if engine.state.epoch == 0 else None
        if path is None:
            return
        content = load_checkpoint(path)
        for part, setting in (("optimizer", "save_optimizer"), ("scheduler", "save_scheduler")):
            if content.get(part) is None:
                raise CheckpointError(
                    f"{path}: was written with checkpointing#{setting} False, so the run cannot be resumed. "
                    f"Start a new run from its weights with --init_from {typed(path)}."
                )
        # settings first: "depth 10 -> 18" says more than names of tensors
        if content["settings"]:
            content["settings"] = run.directory.earlier_settings | content["settings"]
        _compare_settings(content["settings"], run, str(path))
        _say_changes(content, engine, run, str(path))
        _compare_network(content["network"], bare_network(engine.network), str(path))
        _compare_data(content["data"], data_fingerprints(engine, run.validator), str(path))
        _restore(content, engine, run)
        run.directory.start(content["run"])
        finished = how_finished(engine)
        if finished:  # nothing is left to do: only the end of the run is done again
            logger.info("the run is finished: %s", finished)
            engine.terminate()
        else:
            logger.info("resumed %s after epoch %d", path, engine.state.epoch)


def _compare_network(weights: dict[str, torch.Tensor], network: torch.nn.Module, path: str) -> None:
    mine = network.state_dict()
    wrong = sorted(set(mine) ^ set(weights))
    wrong += [n for n in mine if n in weights and mine[n].shape != weights[n].shape]
    if wrong:
        raise CheckpointError(f"{path}: belongs to another network; these tensors do not fit: {first_few(wrong)}.")


def _compare_settings(then: dict[str, Any], run: Run, path: str) -> None:
    now = run.directory.settings
    if not (then and now):
        logger.warning("%s: the settings cannot be compared, as a host ran it or runs it without the preflight.", path)
    changed = [
        f"{name} {then[name]!r} -> {now[name]!r}"
        for name in sorted(set(then) & set(now))
        if then[name] != now[name] and name not in run.directory.free_settings
    ]
    if changed:
        raise CheckpointError(
            f"{path}: a resumed run keeps its settings, but these differ: {'; '.join(changed)}. Give the old values "
            f"(the run's config/config.json has them), or start a new run with --init_from {typed(path)}."
        )


def _say_changes(content: dict[str, Any], engine: SupervisedTrainer, run: Run, path: str) -> None:
    """What a resumed run may change, but the user may not have meant."""
    then, now = content["settings"], run.directory.settings
    new = sorted(name for name in set(now) - set(then) if then and name not in run.directory.free_settings)
    if new:
        logger.warning("%s: the run did not know these settings, which count from now on: %s", path, ", ".join(new))
    for name, here in circumstances(engine).items():
        if content.get(name, here) != here:  # files of 0.1.0 do not say
            logger.warning("%s: %s was %r, now it is %r; the result becomes another.", path, name, content[name], here)
    ends = [settings.get(T_MAX) for settings in (then, now)]
    if None not in ends and ends[0] != ends[1] and now.get("scheduler#name") == "cosine":
        logger.warning(
            "%s: %s follows epochs, so the rate goes on along another course (%s -> %s); the old one: --%s %s.",
            path, T_MAX, *ends, T_MAX, ends[0],
        )  # fmt: skip


def circumstances(engine: SupervisedTrainer) -> dict[str, Any]:
    """What a result hangs on beside the settings, as checkpoints hold it: precision, processes, order of the axes."""
    return {
        "precision": precision_of(engine).partition(" on ")[0],
        "processes": rank_and_world()[1],
        "channels_last": is_channels_last(engine.network),
    }


def _compare_data(then: dict[str, str], now: dict[str, str], path: str) -> None:
    changed = [part for part in now if now[part] != then[part]]
    if changed:
        raise CheckpointError(
            f"{path}: the {' and '.join(changed)} data differ from the run's (names, labels or file sizes). "
            "Resume on the same data, or start a new run."
        )


def _restore(content: dict[str, Any], engine: SupervisedTrainer, run: Run) -> None:
    bare_network(engine.network).load_state_dict(content["network"])
    engine.optimizer.load_state_dict(content["optimizer"])
    run.scheduler.load_state_dict(content["scheduler"])
    if engine.scaler is not None and content["scaler"]:
        engine.scaler.load_state_dict(content["scaler"])
    for name, part in stateful(engine).items():
        if name in content["parts"]:
            part.load_state_dict(content["parts"][name])
    engine.state.epoch, engine.state.iteration = content["epoch"], content["iteration"]


def how_finished(engine: Engine) -> str:
    """What has ended the run for good, and what would go on; empty while there is something left to do."""
    epoch, all_epochs = engine.state.epoch, engine.state.max_epochs or 0
    stopping: Any = stateful(engine).get("early_stopping")
    if epoch >= all_epochs:
        return f"it has done {epoch} of {all_epochs} epochs. More: --epochs N."
    if stopping is not None and stopping.is_over(epoch):
        return f"early stopping ended it in epoch {epoch}. More: --early_stopping#patience N."
    return ""
