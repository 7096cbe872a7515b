"""What dishonest miners send. Each lie is single: all else in the answer is as an honest miner would have it."""

from dataclasses import replace
from functools import cache

import numpy as np
from msgspec.structs import replace as altered

from cluster.node.buffers import bytes_of
from cluster.node.ports import FlatState, SlotReply
from cluster.node.training import open_part
from consensus.primitives.digest import bulk_digest
from consensus.primitives.integers import Digest
from consensus.records.work import SlotReport
from jobs.data.arrays import PartArrays
from jobs.layout import state_digest
from jobs.mining.search import build_report
from jobs.models.build import build_model, model_layout
from jobs.training.result import SlotResult
from jobs.training.slot import SlotRunner
from tests.kit.site import Lie, Site, Task


def in_round(number: int, lie: Lie) -> Lie:
    """The lie in one round only."""
    return lambda task: lie(task) if task.assignment.round == number else task.reply


def altered_step(report: SlotReport, number: int, **changes: object) -> SlotReport:
    """The report with one step's record changed."""
    steps = list(report.steps)
    steps[number] = altered(steps[number], **changes)
    return altered(report, steps=tuple(steps))


def update_digest(site: Site, update: FlatState) -> Digest:
    """The digest that a report has to name for these bytes."""
    return state_digest(bytes_of(update), model_layout(build_model(site.spec.model, site.program.manifest)))


def _sent(task: Task, result: SlotResult) -> SlotReply:
    """The answer of a miner that ran something else, and reports all of it truthfully."""
    honest = task.report
    report = build_report(task.assignment, result, replay_class=honest.replay_class)
    return task.answer(altered(report, template=honest.template), result.update)


# work that is not the assigned work


def noise_batch(task: Task) -> SlotReply:
    """Trains on noise under the right example numbers."""
    train = open_part(task.site.program, "train", task.site.train)
    noise = np.random.default_rng(5)
    segments = tuple(
        replace(segment, inputs=noise.normal(size=segment.inputs.shape).astype(segment.inputs.dtype))
        for segment in train.segments
    )
    runner = SlotRunner(task.site.program, replace(train, segments=segments))
    return _sent(task, runner.run(task.state, None, task.assignment.round, task.assignment.slot))


def other_batch(task: Task) -> SlotReply:
    """Trains on another batch of the same dataset: that of the next round."""
    runner = SlotRunner(task.site.program, _train_part(task.site))
    return _sent(task, runner.run(task.state, None, task.assignment.round + 1, task.assignment.slot))


def copied_slot(task: Task) -> SlotReply:
    """Hands in the work of the other slot of the round as its own."""
    runner = SlotRunner(task.site.program, _train_part(task.site))
    return _sent(task, runner.run(task.state, None, task.assignment.round, 1 - task.assignment.slot))


def copied_update(task: Task) -> SlotReply:
    """Hands in the other slot's update under its own batch."""
    runner = SlotRunner(task.site.program, _train_part(task.site))
    copied = runner.run(task.state, None, task.assignment.round, 1 - task.assignment.slot)
    report = altered_step(task.report, -1, weights_out=copied.steps[-1].weights_out)
    return task.answer(altered(report, update=copied.update_digest), copied.update)


def _train_part(site: Site) -> PartArrays:
    return open_part(site.program, "train", site.train)


# declared figures that no work gives


def invented_update(task: Task) -> SlotReply:
    """A random update, and a report that names it."""
    invented = np.random.default_rng(6).normal(size=task.state.size).astype(np.float32)
    digest = update_digest(task.site, invented)
    report = task.report
    if len(report.steps) == 1:
        report = altered_step(report, 0, weights_out=digest)
    return task.answer(altered(report, update=digest), invented)


def dithered_update(task: Task) -> SlotReply:
    """The last bit of one number of the update, flipped, and a report that names it so."""
    dithered = _last_bit_flipped(task.reply.update)
    digest = update_digest(task.site, dithered)
    report = task.report
    if len(report.steps) == 1:
        report = altered_step(report, 0, weights_out=digest)
    return task.answer(altered(report, update=digest), dithered)


def dithered_weights(task: Task) -> SlotReply:
    """With several steps: weights between two of them, dithered; both records that name them agree."""
    digest = update_digest(task.site, _last_bit_flipped(task.state))
    report = altered_step(task.report, 2, weights_out=digest)
    return task.answer(altered_step(report, 3, weights_in=digest))


def ruinous_update(task: Task) -> SlotReply:
    """An update that leaves no finite number in the model."""
    ruinous = np.full_like(task.reply.update, np.float32(np.nan))
    digest = update_digest(task.site, ruinous)
    return task.answer(altered(altered_step(task.report, 0, weights_out=digest), update=digest), ruinous)


def _last_bit_flipped(array: FlatState) -> FlatState:
    flipped = array.copy()
    flipped.view(np.uint32)[7] ^= 1
    return flipped


def loss_bit(task: Task) -> SlotReply:
    """The last bit of the last loss, flipped: another nonce for nothing."""
    step = task.report.steps[-1]
    return task.answer(altered_step(task.report, -1, loss_bits=step.loss_bits ^ 1))


def large_batch(task: Task) -> SlotReply:
    """Claims more bytes of data, and with them more tries."""
    return task.answer(altered_step(task.report, 0, batch_bytes=10**9))


def large_weights(task: Task) -> SlotReply:
    """Claims more bytes of weights, and with them more tries."""
    return task.answer(altered_step(task.report, 0, weight_bytes=10**9))


def more_examples(task: Task) -> SlotReply:
    """Claims more examples than the slot has."""
    return task.answer(altered(task.report, examples=task.report.examples + 1))


# answers that need no replay to be refused


def other_bytes(task: Task) -> SlotReply:
    """An honest report, with other bytes than it names."""
    return SlotReply(report=task.reply.report, update=_last_bit_flipped(task.reply.update))


def short_update(task: Task) -> SlotReply:
    """An honest report, with an update that is one number short."""
    return SlotReply(report=task.reply.report, update=task.reply.update[:-1])


def other_class(task: Task) -> SlotReply:
    """An invented update in a replay class that nobody here can check."""
    invented = invented_update(task)
    report = replace(task, reply=invented).report
    return task.answer(altered(report, replay_class=unknown_class()), invented.update)


@cache
def unknown_class() -> Digest:
    """A replay class that no machine has."""
    return bulk_digest(b"no such machine")
