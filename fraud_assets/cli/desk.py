"""`fraud desk`: the pages for investigators, their users, and tokens of the API."""

from __future__ import annotations

import ipaddress
import sys
from functools import partial
from threading import Event

import click
from rich.table import Table as RichTable

from fraud_assets.addresses import public
from fraud_assets.cli.command_clock import current_clock
from fraud_assets.cli.lake import open_lake, read_lake
from fraud_assets.cli.options import console, warehouse_option
from fraud_assets.cli.stop_signals import run_until_stopped
from fraud_assets.configured_rules import rule_book
from fraud_assets.desk.people import Accounts, Role
from fraud_assets.errors import SettingsError
from fraud_assets.logs import log_to
from fraud_assets.settings import Settings, read_settings
from hive_io import Warehouse
from hive_io.locations import warehouse_exists

LOOPBACK = "127.0.0.1"
_role_option = click.option(
    "--role",
    type=click.Choice([role.value for role in Role]),
    required=True,
    help="viewer reads, investigator decides too, lead also reopens and assigns.",
)


@click.group(invoke_without_command=True)
@warehouse_option
@click.option(
    "--database",
    metavar="URL",
    help="Database of cases. [default: FRAUD_DESK_DATABASE, or desk.sqlite beside the embedded warehouse]",
)
@click.option("--port", type=click.IntRange(1, 65535), default=4000, show_default=True, help="Port of the desk.")
@click.option(
    "--host",
    metavar="ADDRESS",
    default=LOOPBACK,
    show_default=True,
    help="Address to listen on. Another than loopback needs FRAUD_DESK_USER_HEADER and FRAUD_DESK_PROXY.",
)
@click.pass_context
def desk(ctx: click.Context, warehouse: str | None, database: str | None, port: int, host: str) -> None:
    """Serve the pages on which investigators decide cases.

    Without a command, the desk is served until Ctrl-C or SIGTERM. `fraud desk user add` adds its users. New alerts become
    cases every 30 seconds, and decisions are written to the warehouse.
    """
    if ctx.invoked_subcommand is None:
        _serve(read_settings(warehouse=warehouse, desk_database=database), host, port)


def _serve(settings: Settings, host: str, port: int) -> None:
    # Flask and SQLAlchemy: the commands for users need neither
    from fraud_assets.cases.store import CaseStore
    from fraud_assets.desk.app import create_app
    from fraud_assets.desk.background import BackgroundWork, Task
    from fraud_assets.desk.lake_view import LakeView
    from fraud_assets.desk.lake_work import AlertsToCases, DecisionsToLake
    from fraud_assets.desk.options import DeskOptions
    from fraud_assets.desk.serving import Server
    from fraud_assets.desk.webhooks import Webhooks, addresses_of, key_of

    proxies = [ipaddress.ip_network(address) for address in settings.desk_proxy.split()]
    if bool(settings.desk_user_header) != bool(proxies):
        raise SettingsError("FRAUD_DESK_USER_HEADER and FRAUD_DESK_PROXY belong together: set both, or neither")
    if not _is_loopback(host) and not settings.desk_user_header:
        raise SettingsError(
            f"--host {host} is not a loopback address. The desk speaks HTTP without encryption: put a reverse proxy in "
            "front of it that signs people in, and name it by FRAUD_DESK_USER_HEADER and FRAUD_DESK_PROXY"
        )
    accounts = _accounts(settings, serving=True)
    log_to(settings.log_format)
    store = CaseStore.open(settings.desk_database_url)
    lake = LakeView(partial(read_lake, settings), rule_book(settings).tables(), public(settings.warehouse))
    options = DeskOptions(settings.desk_url, settings.desk_user_header, proxies)
    clock = current_clock()
    writing = DecisionsToLake(store, partial(_existing_lake, settings))
    hooks = [
        Webhooks(store, address, key_of(settings.desk_webhook_key), clock, settings.desk_url)
        for address in addresses_of(settings.desk_webhooks)
    ]
    work = BackgroundWork(
        [
            Task("alerts to cases", AlertsToCases(store, partial(read_lake, settings), clock), clock),
            Task("decisions to the warehouse", writing, clock, on_decision=True),
            *(Task(f"webhook to {hook.host}", hook, clock, on_decision=True) for hook in hooks),
        ]
    )
    server = Server(create_app(store, accounts, lake, options=options, clock=clock, work=work), host, port)
    if not accounts.people:
        click.echo("The desk has no users yet. Add one: fraud desk user add NAME --role lead", err=True)
    click.echo(f"Fraud desk: {server.url}   stop with Ctrl-C")
    stop = Event()

    def until_stopped() -> None:
        try:
            with work, server:
                stop.wait()
        finally:
            lake.close()
            store.close()

    run_until_stopped(until_stopped, stop.set, lambda: None)


def _existing_lake(settings: Settings) -> Warehouse:
    """The warehouse, to write to it; a missing one is an error and is not created."""
    read_lake(settings).close()
    return open_lake(settings)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _accounts(settings: Settings, *, serving: bool = False) -> Accounts:
    """The users of the desk.

    Raises:
        NotAWarehouse: the files of the desk would lie in a folder that is no warehouse, which could not become one then.
    """
    by_default = settings.desk_users is None or (serving and settings.desk_database is None)
    if by_default and not warehouse_exists(settings.warehouse):
        read_lake(settings)
    return Accounts(settings.desk_users_file)


def _accounts_of(ctx: click.Context, warehouse: str | None) -> Accounts:
    """The users of the desk, for a command below `fraud desk`, whose own --warehouse counts unless this one has one."""
    above: click.Context | None = ctx
    while above is not None and above.command is not desk:
        above = above.parent
    return _accounts(read_settings(warehouse=warehouse or (above.params.get("warehouse") if above else None)))


@desk.group()
def user() -> None:
    """Add, list and remove users of the desk."""


@user.command("add")
@click.argument("name")
@_role_option
@click.option("--no-password", is_flag=True, help="For a user whom a reverse proxy signs in.")
@click.option("--password-stdin", is_flag=True, help="Read the password from the first line of standard input.")
@warehouse_option
@click.pass_context
def user_add(ctx: click.Context, name: str, role: str, no_password: bool, password_stdin: bool, warehouse: str | None) -> None:
    """Add the user NAME, or give one another role and password.

    The password is asked for, and only its hash is kept. A new password ends the user's sessions.
    """
    if no_password and password_stdin:
        raise click.UsageError("--no-password and --password-stdin exclude each other")
    password = None
    if password_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    elif not no_password:
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    accounts = _accounts_of(ctx, warehouse)
    accounts.put(name, Role(role), password)
    click.echo(f"{name} is {role} of the desk; users are in {accounts.file}")


@user.command("list")
@warehouse_option
@click.pass_context
def user_list(ctx: click.Context, warehouse: str | None) -> None:
    """List users and their roles."""
    accounts = _accounts_of(ctx, warehouse)
    table = RichTable("User", "Role", "Signs in by")
    for person in accounts.people:
        table.add_row(person.name, person.role, "password" if person.password else "proxy")
    console().print(table if accounts.people else f"No users in {accounts.file}.")


@user.command("remove")
@click.argument("name")
@warehouse_option
@click.pass_context
def user_remove(ctx: click.Context, name: str, warehouse: str | None) -> None:
    """Remove the user NAME, and end the sessions of it."""
    _accounts_of(ctx, warehouse).remove(name)
    click.echo(f"{name} is no user of the desk any more")


@desk.group()
def token() -> None:
    """Add, list and remove tokens of the desk's API."""


@token.command("add")
@click.argument("name")
@_role_option
@warehouse_option
@click.pass_context
def token_add(ctx: click.Context, name: str, role: str, warehouse: str | None) -> None:
    """Add a token for the program NAME, and print it once.

    Only its hash is kept. Decisions made with it carry NAME.
    """
    click.echo(_accounts_of(ctx, warehouse).add_token(name, Role(role)))


@token.command("list")
@warehouse_option
@click.pass_context
def token_list(ctx: click.Context, warehouse: str | None) -> None:
    """List tokens by name, with their roles."""
    accounts = _accounts_of(ctx, warehouse)
    table = RichTable("Token", "Role")
    for each in accounts.tokens:
        table.add_row(each.name, each.role)
    console().print(table if accounts.tokens else f"No tokens in {accounts.file}.")


@token.command("remove")
@click.argument("name")
@warehouse_option
@click.pass_context
def token_remove(ctx: click.Context, name: str, warehouse: str | None) -> None:
    """Remove the token NAME; requests with it are refused from now on."""
    _accounts_of(ctx, warehouse).remove_token(name)
    click.echo(f"{name} is no token of the desk any more")
