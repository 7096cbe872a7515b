"""Commands that start, stop and describe a site: up, down, join, status, doctor."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from cluster.cli.options import AsJson, examples
from cluster.cli.output import emit, note, say, show
from cluster.cli.quick import QuickCommand
from cluster.config import home_from_environment
from cluster.errors import UsageError

UP_EXAMPLES = examples(
    "pouw up", "pouw up cluster.yaml", "pouw up --miners 4 --port 8470", "pouw up --replay-class avx512"
)
DOWN_EXAMPLES = examples("pouw down", "pouw down --json")
JOIN_EXAMPLES = examples("pouw join 192.168.1.10:6379", "POUW_RAY_TOKEN=... pouw join 192.168.1.10:6379 --cpus 8")
STATUS_EXAMPLES = examples("pouw status", "pouw status 3f2a", "pouw status --json")
DOCTOR_EXAMPLES = examples("pouw doctor", "pouw doctor --json")


def up(  # noqa: PLR0917 - options of a command are parameters
    file: Annotated[Path | None, typer.Argument(metavar="[CLUSTER.YAML]", help="Settings of the site.")] = None,
    miners: Annotated[int | None, typer.Option(help="Miners to start with.")] = None,
    supervisors: Annotated[int | None, typer.Option(help="Members of the committee.")] = None,
    port: Annotated[int | None, typer.Option(help="Port of the gateway on 127.0.0.1; 0 takes any free one.")] = None,
    beacon: Annotated[str | None, typer.Option(metavar="HEX", help="Fix the start beacon (for comparisons).")] = None,
    replay_class: Annotated[
        str | None, typer.Option(metavar="CLASS", help="portable, avx512 (faster, if all machines have it) or native.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Start a site in the background. Returns when it is ready.

    With a cluster file that names worker machines, these are made nodes of the site over ssh; if one of them cannot be,
    nothing stays.
    """
    from cluster.cli.progress import open_display, waiting
    from cluster.cli.starting import ask_to_stop, print_up, view_of
    from cluster.cluster_file import ClusterFile, load_cluster_file
    from cluster.launch.fleet import start_fleet
    from cluster.settings import replace_settings

    asked = load_cluster_file(file) if file else ClusterFile()
    given = {
        "miners": miners,
        "supervisors": supervisors,
        "port": port,
        "beacon": beacon,
        "replay_class": replay_class,
    }
    chosen, home = replace_settings(asked.settings, given), home_from_environment()
    with open_display(as_json) as display:
        site = start_fleet(home, chosen, asked.workers, ask_to_stop(home), waiting(display, "starting the site"))
    show(view_of(site, home, asked.workers), as_json, print_up)


def down(
    node: Annotated[bool, typer.Option("--node", help="End only the worker node that pouw join started here.")] = False,
    chain: Annotated[str | None, typer.Option(metavar="HEX", help="With --node: only if it is of this chain.")] = None,
    as_json: AsJson = False,
) -> None:
    """Stop the site and the nodes started with it. Also ends the worker node that `pouw join` started here."""
    from cluster.cli.progress import open_display, waiting
    from cluster.cli.starting import ask_to_stop, print_down
    from cluster.launch.down import DownView
    from cluster.launch.fleet import stop_fleet
    from cluster.launch.staying import leave

    home = home_from_environment()
    with open_display(as_json) as display:
        if node:
            view = DownView(stopped=False, worker_pid=leave(home, chain))
        else:
            view = stop_fleet(home, ask_to_stop(home), waiting(display, "stopping the site"))
    show(view, as_json, print_down)
    if any(worker.error for worker in view.workers):
        raise typer.Exit(1)


def join(  # noqa: PLR0917 - options of a command are parameters
    address: Annotated[str, typer.Argument(metavar="HOST:PORT", help="Ray address of the site, as pouw up prints it.")],
    node_ip: Annotated[str | None, typer.Option(help="Address under which the site reaches this machine.")] = None,
    cpus: Annotated[int | None, typer.Option(min=1, help="Cores to offer; all if left out.")] = None,
    chain: Annotated[str | None, typer.Option(metavar="HEX", help="Join only the site of this chain.")] = None,
    token_stdin: Annotated[bool, typer.Option("--token-stdin", help="Read Ray's token from standard input.")] = False,
    once: Annotated[bool, typer.Option("--once", help="Do not join again when the node ends unasked.")] = False,
    on_demand: Annotated[
        bool, typer.Option("--on-demand", help="An autoscaler ends this machine when idle: it keeps no weights.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make this machine a worker node of a site.

    It needs the site's Ray token: copy the file site/ray-token of the site's home to this machine's home (mode 600),
    set POUW_RAY_TOKEN, or give it on standard input. Versions, replay class and chain are compared with the site first.
    `pouw scale` then places miners here. If the node ends, or the site's head, this machine joins again as soon as it
    can. `pouw down` ends the node for good.
    """
    from cluster.cli.progress import open_display, waiting
    from cluster.launch.certificates import keep, read_credentials
    from cluster.launch.join import NodeOptions, join_site, load_ray_token
    from cluster.launch.staying import check_not_staying, stay_joined

    home = home_from_environment()
    check_not_staying(home)  # before anything of a node that runs is replaced
    if token_stdin:
        credentials = read_credentials(sys.stdin.readline().strip())
        keep(home, credentials)
        token = credentials.token
    else:
        token = load_ray_token(home, os.environ)
    options = NodeOptions(node_ip=node_ip, cpus=cpus, chain_id=chain, is_on_demand=on_demand)
    with open_display(as_json) as display:
        view = join_site(home, address, token, options, tick=waiting(display, "joining"))
    if not once:
        stay_joined(home, address, token, options)
    show(view, as_json, lambda joined: say(f"joined {joined.address} (process {joined.pid}, log {joined.log})"))


def status(context: typer.Context, as_json: AsJson = False) -> None:
    """Show the site, its chain, its jobs and its processes.

    JOB shows only one job: its id, the beginning of it, or its name if only one has it.
    """
    from cluster.cli.tables import print_site
    from cluster.client.connection import connect
    from cluster.client.finding import find_job

    # JOB is taken from what is left: typer imports pydantic for a declared one, a third of this command's 300 ms
    if len(context.args) > 1:
        raise UsageError(f"one job at most, not {len(context.args)}", hint="see: pouw status --help")
    client = connect(home_from_environment())
    job_id = find_job(client, context.args[0]).job_id if context.args else None
    show(client.status(job_id), as_json, print_site)


def doctor(as_json: AsJson = False) -> None:
    """Check this machine and the site. Says how to mend what is wrong."""
    from cluster.cli.checkup import print_check
    from cluster.launch.doctor import DoctorView, run_checks

    checks = []
    for check in run_checks(home_from_environment()):
        checks.append(check)
        if not as_json:
            print_check(check)
    view = DoctorView(ok=all(check.ok for check in checks), checks=tuple(checks))
    if as_json:
        emit(view)
    elif not view.ok:
        note("some checks failed; what to do is written below each")
    if not view.ok:
        raise typer.Exit(1)


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command("up", epilog=UP_EXAMPLES)(up)
    app.command("down", epilog=DOWN_EXAMPLES)(down)
    app.command("join", epilog=JOIN_EXAMPLES)(join)
    extra = {"allow_extra_args": True}
    app.command(
        "status", cls=QuickCommand, epilog=STATUS_EXAMPLES, options_metavar="[OPTIONS] [JOB]", context_settings=extra
    )(status)
    app.command("doctor", epilog=DOCTOR_EXAMPLES)(doctor)
