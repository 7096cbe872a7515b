"""What can go wrong with a job. Messages reach the user as they are: what is wrong, where, and what to do next."""


class JobError(Exception):
    """Base of every error of this package."""


class JobFileError(JobError):
    """A job file has mistakes. `mistakes` lists every one as `file:line: key: message`."""

    def __init__(self, mistakes: tuple[str, ...]) -> None:
        self.mistakes = mistakes
        super().__init__(mistakes)

    def __str__(self) -> str:
        return "\n".join(self.mistakes)


class DataError(JobError):
    """The data cannot be read or does not fit the job."""


class SegmentError(DataError):
    """A segment's bytes are not what the dataset root commits to."""


class ModelError(JobError):
    """The model cannot be built for this data, or not on this machine."""


class DeterminismError(JobError):
    """A process that cannot give replayable bits."""


class TrainingDivergedError(JobError):
    """The loss or the weights are no longer finite."""

    def __init__(self, round_number: int, slot: int, step: int) -> None:
        self.round_number, self.slot, self.step = round_number, slot, step
        super().__init__(round_number, slot, step)

    def __str__(self) -> str:
        place = f"round {self.round_number}, slot {self.slot}, step {self.step}"
        return (
            f"training diverged: the loss is not finite in {place}; "
            "lower the learning rate or set train.optimizer.clip_norm"
        )


class DivergedStateError(JobError):
    """A state whose figures are not finite."""

    def __init__(self, figure: str) -> None:
        self.figure = figure
        super().__init__(figure)

    def __str__(self) -> str:
        return f"the {self.figure} of this state is not finite: training diverged; lower the learning rate"
