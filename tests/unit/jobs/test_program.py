"""A program is named and seeded by spec, dataset and beacon, each of them."""

import msgspec

from consensus.primitives.digest import sha256
from jobs.program import JobProgram
from tests.kit.training import DIGITS, MLP, make_spec, make_study


def test_equal_inputs_give_equal_programs() -> None:
    program = make_study().program
    again = JobProgram(spec=program.spec, manifest=program.manifest, beacon=program.beacon)
    assert (again.digest, again.seed) == (program.digest, program.seed)
    assert (program.rounds, program.slots, program.local_steps, program.slot_batch) == (20, 2, 1, 16)


def test_name_and_reward_leave_the_program_alone() -> None:
    program = make_study().program
    spec = program.spec.model_copy(update={"name": "other", "reward": 3})
    assert JobProgram(spec=spec, manifest=program.manifest, beacon=program.beacon).seed == program.seed


def test_spec_dataset_beacon_and_seed_each_change_the_seed() -> None:
    program = make_study().program
    header = msgspec.structs.replace(program.manifest.header, source_note="another")
    others = [
        JobProgram(spec=make_spec(MLP, DIGITS, rounds=21), manifest=program.manifest, beacon=program.beacon),
        JobProgram(
            spec=program.spec,
            manifest=msgspec.structs.replace(program.manifest, header=header),
            beacon=program.beacon,
        ),
        JobProgram(spec=program.spec, manifest=program.manifest, beacon=sha256("test/beacon/1", b"other")),
        JobProgram(spec=program.spec.model_copy(update={"seed": 8}), manifest=program.manifest, beacon=program.beacon),
    ]
    assert len({program.seed, *(other.seed for other in others)}) == 5
    assert len({program.digest, *(other.digest for other in others)}) == 5


def test_every_step_has_its_own_seed_of_63_bits() -> None:
    program = make_study().program
    seeds = {program.slot_seed(round_, slot, step) for round_ in range(4) for slot in range(4) for step in range(4)}
    assert len(seeds | {program.initial_seed}) == 65
    assert all(0 <= seed < 2**63 for seed in seeds)
