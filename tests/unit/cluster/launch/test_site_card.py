"""A joining machine is held against the site's card: the first difference is named with both values."""

import pytest

from cluster.errors import ConflictError
from cluster.launch.site_card import SiteCard, check_card
from consensus.primitives.encoding import decode, encode
from consensus.primitives.integers import Digest
from jobs.machine import MachineClass

MACHINE = MachineClass(
    python="3.11",
    torch="2.13.0+cpu",
    replay_class="portable",
    processor="GenuineIntel",
    capability="AVX2",
    libc="glibc 2.36",
    settings=("ATEN_CPU_CAPABILITY=avx2", "MKL_CBWR=AVX2"),
    self_test=Digest(bytes(32)),
)
CARD = SiteCard(chain_id=Digest(bytes(range(32))), pouw="0.1.0", ray="2.60.0", machine=MACHINE)


def replaced(**changes: object) -> SiteCard:
    values = {name: getattr(CARD, name) for name in CARD.__struct_fields__}
    of_machine = {name: getattr(MACHINE, name) for name in MACHINE.__struct_fields__}
    for name, value in changes.items():
        (values if name in values else of_machine)[name] = value
    return SiteCard(**{**values, "machine": MachineClass(**of_machine)})


def test_machines_alike_are_admitted_and_share_a_label() -> None:
    again = decode(encode(CARD), SiteCard)
    check_card(CARD, again)
    assert again.label == CARD.label
    assert len(CARD.label) == 32


@pytest.mark.parametrize(
    ("name", "value", "code", "there", "here"),
    [
        ("chain_id", Digest(b"\x07" * 32), "chain-id", "00010203", "07070707"),
        ("pouw", "0.2.0", "version", "0.1.0", "0.2.0"),
        ("ray", "2.61.0", "version", "2.60.0", "2.61.0"),
        ("python", "3.12", "version", "3.11", "3.12"),
        ("torch", "2.13.0+cu130", "version", "2.13.0+cpu", "2.13.0+cu130"),
        ("replay_class", "native", "replay-class", "portable", "native"),
        ("processor", "AuthenticAMD", "replay-class", "GenuineIntel", "AuthenticAMD"),
        ("capability", "DEFAULT", "replay-class", "AVX2", "DEFAULT"),
        ("libc", "glibc 2.41", "replay-class", "glibc 2.36", "glibc 2.41"),
        ("settings", ("ATEN_CPU_CAPABILITY=", "MKL_CBWR=AVX2"), "replay-class", "CAPABILITY=avx2", "CAPABILITY="),
        ("settings", ("ATEN_CPU_CAPABILITY=avx2",), "replay-class", "MKL_CBWR=AVX2", "nothing"),
        ("self_test", Digest(b"\x01" * 32), "replay-class", "0000", "0101"),
    ],
)
def test_a_difference_is_named_with_both_values_and_a_fix(
    name: str, value: object, code: str, there: str, here: str
) -> None:
    other = replaced(**{name: value})
    assert other.label != CARD.label
    with pytest.raises(ConflictError) as caught:
        check_card(CARD, other)
    assert caught.value.code == code
    assert there in caught.value.message
    assert here in caught.value.message
    assert caught.value.hint
