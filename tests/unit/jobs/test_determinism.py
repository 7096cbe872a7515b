"""What decides the bits is set before torch is imported, and recorded; nothing is assumed."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from cluster.launch.processor import can_run
from jobs.determinism import (
    AVX512,
    NATIVE,
    PORTABLE,
    activate,
    configure,
    configured_class,
    configured_threads,
    describe,
    environment,
    self_test,
)
from jobs.errors import DeterminismError
from tests.kit.training import CONVNET, DIGITS, MLP, make_study

REPOSITORY = Path(__file__).parents[3]

TORCH_FREE = (
    "jobs.determinism, jobs.errors, jobs.layout, jobs.export, jobs.program, jobs.mining.search, jobs.mining.templates, "
    "jobs.spec.file, jobs.data.prepare, jobs.data.arrays"
)


def run_python(script: str, variables: dict[str, str]) -> str:
    command = [sys.executable, "-W", "error", "-c", script]
    return subprocess.run(
        command, cwd=REPOSITORY, env=variables, check=True, capture_output=True, text=True
    ).stdout.strip()


def test_what_the_command_line_uses_does_not_import_torch() -> None:
    assert run_python(f"import sys, {TORCH_FREE}; print('torch' in sys.modules)", {}) == "False"


def test_configured_after_torch_is_refused() -> None:
    script = (
        "import torch\nfrom jobs.determinism import configure\nfrom jobs.errors import DeterminismError\n"
        "try:\n    configure('portable')\nexcept DeterminismError as error:\n    print('refused')"
    )
    assert run_python(script, {}) == "refused"


def test_configuring_again_with_the_same_values_is_fine() -> None:
    configure(PORTABLE)


def test_rejects_a_class_that_does_not_exist() -> None:
    with pytest.raises(DeterminismError, match="quantum"):
        environment("quantum")


def test_activation_pins_threads_and_kernels() -> None:
    activate()
    assert torch.get_num_threads() == configured_threads() == 1
    assert torch.are_deterministic_algorithms_enabled()
    assert torch.backends.cpu.get_cpu_capability() in ("AVX2", "DEFAULT")


def test_activation_does_not_load_the_compiler() -> None:
    script = "import sys\nfrom jobs.determinism import activate\nactivate()\nprint('sympy' in sys.modules)"
    assert run_python(script, environment(PORTABLE)) == "False"


def test_the_class_names_what_decides_the_bits() -> None:
    study = make_study(MLP, DIGITS)
    described = describe(study.program)
    assert described.torch == torch.__version__
    assert (described.threads, described.micro_batch) == (1, 16)
    assert "ATEN_CPU_CAPABILITY=avx2" in described.settings
    assert any(setting.startswith("libc=") for setting in described.settings)
    assert not any(setting.startswith("caches=") for setting in described.settings)
    assert any(setting.startswith("caches=") for setting in describe(make_study(CONVNET, DIGITS).program).settings)
    assert describe(make_study(MLP, DIGITS, micro_batch=8).program).digest != described.digest


def test_a_process_that_is_not_portable_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    study = make_study(MLP, DIGITS)
    native = describe(make_study(MLP, DIGITS, replay_class=NATIVE).program)
    monkeypatch.setenv("MKL_CBWR", "AUTO")
    with pytest.raises(DeterminismError, match="MKL_CBWR"):
        describe(study.program)
    assert describe(make_study(MLP, DIGITS, replay_class=NATIVE).program).digest != native.digest


def test_a_process_knows_its_class(monkeypatch: pytest.MonkeyPatch) -> None:
    assert configured_class() == PORTABLE
    for name, value in environment(AVX512).items():
        monkeypatch.setenv(name, value)
    assert configured_class() == AVX512
    monkeypatch.delenv("MKL_CBWR")
    assert configured_class() == NATIVE


def test_kernels_that_the_processor_lacks_are_no_class(monkeypatch: pytest.MonkeyPatch) -> None:
    study = make_study(MLP, DIGITS, replay_class=AVX512)
    with pytest.raises(DeterminismError, match="without ATEN_CPU_CAPABILITY"):
        describe(study.program)
    for name, value in environment(AVX512).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(DeterminismError, match="needs a processor with it"):
        describe(study.program)


@pytest.mark.skipif(not can_run(AVX512), reason="this processor has no AVX-512")
def test_the_wide_class_is_another_one() -> None:
    script = "from jobs.machine import describe_machine\nfound = describe_machine('avx512')\n"
    script += "print(found.capability, found.self_test.hex())"
    capability, digest = run_python(script, environment(AVX512)).split()
    assert capability == "AVX512"
    assert digest != self_test().hex()


def test_self_test_gives_one_digest() -> None:
    assert self_test() == self_test()
