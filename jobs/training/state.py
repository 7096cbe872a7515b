"""The first state of a job: the same bits for everyone who knows the program."""

import numpy as np

from jobs.models.build import build_model, model_layout
from jobs.models.initial import draw, initial_values
from jobs.program import JobProgram
from jobs.training.memory import FloatArray, aligned_zeros


def initial_state(program: JobProgram) -> FloatArray:
    """The flat state that round 0 starts from. Its bits depend on the program alone, not on the replay class."""
    model = build_model(program.spec.model, program.manifest)
    layout, values = model_layout(model), initial_values(model)
    state = aligned_zeros(layout.total)
    generator = np.random.Philox(key=program.initial_seed)
    for tensor in layout.tensors:
        state[tensor.offset : tensor.offset + tensor.count] = draw(generator, values[tensor.name], tensor.count)
    return state
