"""wallet new, list, show, send."""

import msgspec
import pytest

from cluster.config import HomeLayout
from cluster.errors import ExitCode
from cluster.wallet.keystore import client_keystore
from tests.kit.command import Pouw
from tests.kit.memory_site import MemorySite


def test_new_keys_are_listed(pouw: Pouw, home: HomeLayout) -> None:
    made = pouw("wallet", "new", "savings", "--json").json
    assert len(bytes.fromhex(str(made["address"]))) == 32
    listed = msgspec.json.decode(pouw("wallet", "list", "--json").out)
    assert [(key["name"], key["address"]) for key in listed] == [("savings", made["address"])]
    assert str(made["address"]) in pouw("wallet", "list").out


def test_a_second_key_of_a_name_is_a_conflict(pouw: Pouw, home: HomeLayout) -> None:
    assert pouw("wallet", "new").code == ExitCode.OK
    outcome = pouw("wallet", "new", "--json")
    assert (outcome.code, outcome.error_code) == (ExitCode.FAILED, "key-exists")


def test_a_balance_is_shown_while_the_site_is_up(pouw: Pouw, home: HomeLayout, site: MemorySite) -> None:
    address = client_keystore(home).create("savings").public_key.hex()
    site.give(address, "12.5")
    shown = pouw("wallet", "show", "savings", "--json").json
    assert shown == {"name": "savings", "address": address, "balance": "12.5", "stake": "0", "sequence": 0}
    assert "12.5" in pouw("wallet", "show", "savings").out


def test_an_address_is_shown_while_the_site_is_down(pouw: Pouw, home: HomeLayout) -> None:
    address = client_keystore(home).create("savings").public_key.hex()
    shown = pouw("wallet", "show", "savings", "--json")
    assert (shown.code, shown.json["address"], shown.json["balance"]) == (ExitCode.OK, address, None)
    assert "unknown" in pouw("wallet", "show", "savings").out


def test_credits_are_sent_to_a_key_or_an_address(pouw: Pouw, home: HomeLayout, site: MemorySite) -> None:
    keystore = client_keystore(home)
    sender, receiver = (keystore.create(name).public_key.hex() for name in ("default", "savings"))
    site.give(sender, "10")
    sent = pouw("wallet", "send", "savings", "1.5", "--json")
    assert (sent.code, sent.json["recipient"], sent.json["amount"]) == (ExitCode.OK, receiver, "1.5")
    assert pouw("wallet", "send", receiver, "0.000001").code == ExitCode.OK
    assert site.balances[receiver] == 1_500_001
    back = pouw("wallet", "send", "default", "1", "--key", "savings")
    assert back.code == ExitCode.OK
    assert site.balances[sender] == 9_499_999


@pytest.mark.parametrize(
    ("arguments", "exit_code", "code"),
    [
        (("savings", "11"), ExitCode.FAILED, "funds"),
        (("savings", "1.0000001"), ExitCode.USAGE, "amount"),
        (("nobody", "1"), ExitCode.USAGE, "recipient"),
        (("AB" * 32, "1"), ExitCode.USAGE, "recipient"),
        (("savings", "1", "--key", "other"), ExitCode.NOT_FOUND, "no-key"),
        (("savings", "1", "--key", "../x"), ExitCode.USAGE, "key-name"),
    ],
)
def test_what_cannot_be_sent_says_why(  # noqa: PLR0917 - fixtures and cases
    pouw: Pouw, site: MemorySite, home: HomeLayout, arguments: tuple[str, ...], exit_code: int, code: str
) -> None:
    keystore = client_keystore(home)
    site.give(keystore.create("default").public_key.hex(), "10")
    keystore.create("savings")
    outcome = pouw("wallet", "send", *arguments, "--json")
    assert (outcome.code, outcome.error_code) == (exit_code, code)


def test_a_wrong_passphrase_exits_5(pouw: Pouw, home: HomeLayout, monkeypatch: pytest.MonkeyPatch) -> None:
    pouw("wallet", "new", "savings")
    monkeypatch.setenv("POUW_PASSPHRASE", "another")
    outcome = pouw("wallet", "show", "savings", "--json")
    assert (outcome.code, outcome.error_code) == (ExitCode.NOT_AUTHORISED, "passphrase")
