"""Commands about keys and credits: wallet new, wallet list, wallet show, wallet send, wallet stake."""

from typing import Annotated

import typer

from cluster.cli.options import AsJson, KeyName, examples, help_when_alone
from cluster.cli.output import say, show
from cluster.config import home_from_environment
from cluster.wallet.names import CLIENT_KEY

NEW_EXAMPLES = examples("pouw wallet new", "pouw wallet new savings")
LIST_EXAMPLES = examples("pouw wallet list")
SHOW_EXAMPLES = examples("pouw wallet show", "pouw wallet show savings --json")
STAKE_EXAMPLES = examples("pouw wallet stake 50", "pouw wallet stake 20 --out")
SEND_EXAMPLES = examples("pouw wallet send savings 12.5", "pouw wallet send ADDRESS 100 --key savings")

wallet = typer.Typer(help="Keys and credits.", callback=help_when_alone, invoke_without_command=True)
Name = Annotated[str, typer.Argument(metavar="[NAME]", help="Name of the key.")]


@wallet.command("new", epilog=NEW_EXAMPLES)
def new(name: Name = CLIENT_KEY, as_json: AsJson = False) -> None:
    """Make a new key, encrypted on disk."""
    from cluster.client.payments import KeyView
    from cluster.wallet.keystore import client_keystore

    key = client_keystore(home_from_environment()).create(name)
    view = KeyView(name=name, address=key.public_key.hex())
    show(view, as_json, lambda made: say(f"{made.name}  {made.address}"))


@wallet.command("list", epilog=LIST_EXAMPLES)
def list_keys(as_json: AsJson = False) -> None:
    """List your keys and their addresses."""
    from cluster.cli.tables import print_table
    from cluster.client.payments import list_key_views
    from cluster.wallet.keystore import client_keystore

    views = list_key_views(client_keystore(home_from_environment()))
    show(views, as_json, lambda keys: print_table(("key", "address"), ((key.name, key.address) for key in keys)))


@wallet.command("show", epilog=SHOW_EXAMPLES)
def show_key(name: Name = CLIENT_KEY, as_json: AsJson = False) -> None:
    """Show a key's address, and its balance while the site is up."""
    from cluster.cli.tables import print_pairs
    from cluster.client.payments import load_wallet
    from cluster.wallet.keystore import client_keystore

    home = home_from_environment()
    view = load_wallet(home, client_keystore(home), name)
    pairs = [("key", view.name), ("address", view.address), ("balance", view.balance or "unknown: no site is running")]
    show(view, as_json, lambda _: print_pairs(pairs))


@wallet.command("send", epilog=SEND_EXAMPLES)
def send(
    recipient: Annotated[str, typer.Argument(metavar="TO", help="Address, or the name of one of your keys.")],
    amount: Annotated[str, typer.Argument(metavar="AMOUNT", help="Credits, with at most six decimal places.")],
    key: KeyName = CLIENT_KEY,
    as_json: AsJson = False,
) -> None:
    """Send credits to another account."""
    from cluster.client.connection import connect
    from cluster.client.payments import send_credits
    from cluster.credits import parse_credits
    from cluster.wallet.keystore import client_keystore

    home = home_from_environment()
    units = parse_credits(amount)
    view = send_credits(connect(home), client_keystore(home), key, recipient, units)
    show(view, as_json, lambda sent: say(f"sent {sent.amount} credits to {sent.recipient} ({sent.transaction})"))


@wallet.command("stake", epilog=STAKE_EXAMPLES)
def stake(
    amount: Annotated[str, typer.Argument(metavar="AMOUNT", help="Credits, with at most six decimal places.")],
    *,
    out: Annotated[bool, typer.Option("--out", help="Take so much back, as far as no piece has it locked.")] = False,
    key: KeyName = CLIENT_KEY,
    as_json: AsJson = False,
) -> None:
    """Move credits into your stake. It answers for the pieces that you keep for others."""
    from cluster.client.connection import connect
    from cluster.client.payments import move_stake
    from cluster.credits import parse_credits
    from cluster.wallet.keystore import client_keystore

    home = home_from_environment()
    view = move_stake(connect(home), client_keystore(home), key, parse_credits(amount), out=out)
    show(view, as_json, lambda moved: say(f"{moved.stake} credits are staked now ({moved.transaction})"))


def register(app: typer.Typer) -> None:
    """Add this group."""
    app.add_typer(wallet, name="wallet")
