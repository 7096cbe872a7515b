"""The job that `pouw demo` trains."""

from importlib.resources import as_file, files

from jobs.spec.file import load_job_file
from jobs.spec.job import JobSpec


def load_demo_job() -> JobSpec:
    """Read the job file that comes with the package."""
    with as_file(files("cluster.cli") / "digits-demo.yaml") as path:
        return load_job_file(path)
