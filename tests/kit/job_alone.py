"""What a job comes to in one process, without a site: what every site has to come to as well."""

from jobs.data.arrays import PartArrays
from jobs.data.prepare import prepare_dataset
from jobs.program import JobProgram
from jobs.spec.job import JobSpec
from tests.kit.real_site import BEACON
from tests.kit.training import Study, run_rounds


def digest_alone(spec: JobSpec) -> str:
    """The state digest after a job's last round, on a chain with the fixed beacon of the test sites."""
    prepared = prepare_dataset(spec)
    parts = {"train": PartArrays.open(prepared.manifest, "train", prepared.segments.by_digest().__getitem__)}
    program = JobProgram(spec=spec, manifest=prepared.manifest, beacon=bytes.fromhex(BEACON))
    return run_rounds(Study(program=program, parts=parts), spec.train.rounds).digests[-1].hex()
