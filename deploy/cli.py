"""`meterline`: the command line. Every command says in one line what it did or why it could not."""

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from deploy.output import lose_what_cannot_be_written
from deploy.settings import SettingError, Settings, read_settings, require_embedded
from deploy.version import VERSION
from metering.errors import MeteringError
from metering.http.scope import Scope
from metering.registry.accounts import AccountExistsError, create_account, find_account, list_accounts
from metering.registry.engine import Registry
from metering.registry.keys import ApiKey, create_key, list_keys, revoke_key, rotate_key
from metering.registry.migrate import migrate
from metering.world import Mode, World

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Usage events in, exact invoices out.")
accounts_app = typer.Typer(no_args_is_help=True, help="Accounts: whose data are walled off from whose.")
keys_app = typer.Typer(no_args_is_help=True, help="API keys: shown once, kept as a hash.")
app.add_typer(accounts_app, name="accounts")
app.add_typer(keys_app, name="keys")
letters_app = typer.Typer(no_args_is_help=True, help="Dead letters: what came through the log and cannot be counted.")
app.add_typer(letters_app, name="dead-letters")
customers_app = typer.Typer(no_args_is_help=True, help="Customers: whose usage it is.")
app.add_typer(customers_app, name="customers")

secrets_app = typer.Typer(no_args_is_help=True, help="The keys that passwords of connections are kept with.")
app.add_typer(secrets_app, name="secrets")

log_app = typer.Typer(no_args_is_help=True, help="The log: where events are durable before they are counted.")
app.add_typer(log_app, name="log")
generations_app = typer.Typer(no_args_is_help=True, help="Generations of a log in Kafka: each has its partitions.")
log_app.add_typer(generations_app, name="generations")

PIPE_COLUMNS = 240
"""A table for another program is never folded."""

out = Console(soft_wrap=True, highlight=False, width=None if sys.stdout.isatty() else PIPE_COLUMNS)
err = Console(stderr=True, soft_wrap=True, highlight=False)

KeyOption = Annotated[
    str | None,
    typer.Option("--key", envvar="METERLINE_API_KEY", help="The API key to send with.", show_envvar=True),
]
UrlOption = Annotated[
    str | None, typer.Option("--url", envvar="METERLINE_URL", help="Where Meterline is; default: the local one.")
]


def main() -> None:
    """Run the command line; an expected failure is one line on the error output and exit code 1."""
    try:
        app()
    except (SettingError, MeteringError) as error:
        fail(str(error))


def fail(message: str) -> NoReturn:
    """Say why in one line and end with 1."""
    err.print(f"[red]meterline:[/] {escape(message)}")
    sys.exit(1)


@app.command()
def up() -> None:
    """Start everything in the foreground; Ctrl-C drains and stops."""
    from deploy.up import StartError, run_up

    lose_what_cannot_be_written()
    try:
        sys.exit(run_up(read_settings(), out))
    except StartError as error:
        fail(str(error))


@app.command()
def status() -> None:
    """Tell how far the figures are, what is stored, and what it takes on disk; ends with 3 when nothing runs."""
    from deploy.core_socket import CoreRefusedError
    from deploy.status import show_status

    try:
        sys.exit(show_status(read_settings(), out))
    except CoreRefusedError as error:
        fail(str(error))


@app.command()
def rebuild(
    *,
    replace: Annotated[bool, typer.Option("--replace", help="Put the derived store in the other's place.")] = False,
    restart: Annotated[bool, typer.Option("--restart", help="Begin anew rather than go on.")] = False,
) -> None:
    """Derive the store again from log and archive, Meterline stopped, and compare: ends with 2 if they differ."""
    from deploy.rebuild.command import RebuildError, run_rebuild
    from deploy.rebuild.source import NoLogError, UnfinishedError
    from ingest.errors import IngestError

    try:
        sys.exit(run_rebuild(read_settings(), out, replace=replace, restart=restart))
    except (RebuildError, NoLogError, UnfinishedError, IngestError) as error:
        fail(str(error))


@app.command()
def gateway() -> None:
    """Run one gateway in the foreground: takes events, passes all else on to the APIs."""
    _role("gateway")


@app.command()
def consumer() -> None:
    """Run one consumer in the foreground: brings events from the log into the store."""
    _role("consumer")


@app.command()
def api() -> None:
    """Run one API in the foreground: answers gateways from the store and the registry, pages too."""
    _role("api")


@app.command()
def loaders() -> None:
    """Run dataloaders in the foreground: what is due is read from its source into the log."""
    _role("loaders")


def _role(name: str) -> NoReturn:
    from deploy.roles import run_role

    sys.exit(run_role(name, read_settings()))


@app.command()
def backup(destination: Annotated[Path, typer.Argument(help="A folder that is not there yet.")]) -> None:
    """Copy this installation, running or not: log, registry, unfinished imports; the store is derived from the log."""
    from deploy.backup.command import run_backup
    from deploy.backup.manifest import BackupError
    from deploy.core_socket import CoreRefusedError, NoCoreError
    from deploy.rebuild.children import StepError
    from ingest.errors import IngestError

    try:
        settings = read_settings()
        require_embedded(settings, "backup")
        sys.exit(run_backup(settings, destination, out))
    except (BackupError, CoreRefusedError, NoCoreError, StepError, IngestError, OSError) as error:
        fail(str(error))


@app.command()
def restore(source: Annotated[Path, typer.Argument(help="A backup.")]) -> None:
    """Make an installation from a backup in METERLINE_DATA_DIR, which must be empty; everything is checked."""
    from deploy.backup.manifest import BackupError
    from deploy.backup.restore import run_restore
    from deploy.rebuild.children import StepError
    from ingest.errors import IngestError

    try:
        settings = read_settings()
        require_embedded(settings, "restore")
        sys.exit(run_restore(settings, source, out))
    except (BackupError, StepError, IngestError, OSError) as error:
        fail(str(error))


@app.command()
def version() -> None:
    """Print the version."""
    out.print(f"meterline {VERSION}")


@app.command()
def demo(
    key: KeyOption = None,
    url: UrlOption = None,
    trace: Annotated[
        Path | None, typer.Option(help="Folder with the Azure LLM trace CSV files; seeded traffic where absent.")
    ] = None,
) -> None:
    """Send real usage through the HTTP API, with products and subscriptions, and say where to look."""
    from deploy.demo import run_demo

    settings = read_settings()
    sys.exit(run_demo(settings, url or settings.url, key, trace, out))


@app.command(name="import")
def import_(
    file: Annotated[Path, typer.Argument(help="A CSV file: timestamp,event_type,customer_id,record/id,record/…")],
    key: KeyOption = None,
    url: UrlOption = None,
) -> None:
    """Send the events of a CSV file; rejected lines are listed with their number and reason."""
    from deploy.csv_import import run_import

    settings = read_settings()
    if key is None:
        fail("an API key with the scope ingest is needed: set METERLINE_API_KEY or give --key")
    sys.exit(run_import(file, url or settings.url, key, out))


@accounts_app.command("create")
def accounts_create(name: Annotated[str, typer.Argument(help="What it is called; unique.")]) -> None:
    """Create an account."""
    with _registry() as registry, registry.writing() as connection:
        try:
            account = create_account(connection, name, datetime.now(UTC))
        except (AccountExistsError, ValueError) as error:
            fail(str(error))
    out.print(f"created account {escape(name)} ({account.id})")
    out.print(f"make a key:  meterline keys create --account {escape(shlex.quote(name))} --mode test --scope admin")


@accounts_app.command("list")
def accounts_list() -> None:
    """List the accounts."""
    with _registry() as registry, registry.reading() as connection:
        found = list_accounts(connection)
    table = Table("name", "id", "created", box=None, pad_edge=False)
    for account in found:
        table.add_row(escape(account.name), account.id, f"{account.created_at:%Y-%m-%d %H:%M}")
    out.print(table)


@keys_app.command("create")
def keys_create(
    account: Annotated[str, typer.Option(help="The account's name or id.")],
    mode: Annotated[Mode, typer.Option(help="Test and production are two worlds.")],
    scope: Annotated[list[Scope], typer.Option(help="What it may do; may be given more than once.")],
    name: Annotated[str, typer.Option(help="A note to tell it by.")] = "",
    expires_days: Annotated[int | None, typer.Option(min=1, max=36_500, help="Shut it after so many days.")] = None,
) -> None:
    """Create a key and print it: the only time that it can be seen."""
    now = datetime.now(UTC)
    with _registry() as registry, registry.writing() as connection:
        found = find_account(connection, account)
        if found is None:
            fail(f"there is no account {account!r}: see `meterline accounts list`")
        expires_at = None if expires_days is None else now + timedelta(days=expires_days)
        try:
            _, secret = create_key(connection, World(found.id, mode), scope, now, name=name, expires_at=expires_at)
        except ValueError as error:
            fail(str(error))
    out.print(secret, markup=False)


@keys_app.command("list")
def keys_list(account: Annotated[str | None, typer.Option(help="Only this account's.")] = None) -> None:
    """List keys with their scopes, expiry and last use; never their text."""
    with _registry() as registry, registry.reading() as connection:
        account_id = None
        if account is not None:
            found = find_account(connection, account)
            if found is None:
                fail(f"there is no account {account!r}: see `meterline accounts list`")
            account_id = found.id
        keys = list_keys(connection, account_id)
        names = {item.id: item.name for item in list_accounts(connection)}
    table = Table(
        "id", "account", "mode", "begins", "scopes", "name", "created", "last used", "state", box=None, pad_edge=False
    )
    for key in keys:
        table.add_row(*_key_row(key, names[key.world.account_id]))
    out.print(table)


@keys_app.command("rotate")
def keys_rotate(
    key_id: Annotated[str, typer.Argument(help="The key's id, from `meterline keys list`.")],
    overlap_hours: Annotated[int, typer.Option(min=0, max=8_760, help="How long the old key still works.")] = 24,
) -> None:
    """Make a key's successor and print it, once; the old key works for some hours more."""
    with _registry() as registry, registry.writing() as connection:
        made = rotate_key(connection, key_id, datetime.now(UTC), overlap=timedelta(hours=overlap_hours))
        if made is None:
            fail(f"there is no open key {key_id!r}: see `meterline keys list`")
    out.print(made[1], markup=False)


@keys_app.command("revoke")
def keys_revoke(key_id: Annotated[str, typer.Argument(help="The key's id, from `meterline keys list`.")]) -> None:
    """Shut a key for good."""
    with _registry() as registry, registry.writing() as connection:
        if not revoke_key(connection, key_id, datetime.now(UTC)):
            fail(f"there is no open key {key_id!r}: see `meterline keys list`")
    out.print(f"revoked {escape(key_id)}")


@letters_app.command("list")
def letters_list() -> None:
    """List dead letters with the reason, oldest first; Meterline has to be running."""
    from deploy.core_socket import CoreRefusedError, NoCoreError
    from deploy.dead_letters import list_dead_letters

    try:
        sys.exit(list_dead_letters(read_settings(), out))
    except (CoreRefusedError, NoCoreError) as error:
        fail(str(error))


@letters_app.command("replay")
def letters_replay() -> None:
    """Send those that are good by now through the log again, as if they came in now; deletions never."""
    from deploy.core_socket import CoreRefusedError, NoCoreError
    from deploy.dead_letters import replay_dead_letters

    try:
        sys.exit(replay_dead_letters(read_settings(), out))
    except (CoreRefusedError, NoCoreError) as error:
        fail(str(error))


@customers_app.command("erase")
def customers_erase(
    customer: Annotated[str, typer.Argument(help="The customer's id or external id.")],
    key: KeyOption = None,
    url: UrlOption = None,
) -> None:
    """Erase a customer's text everywhere, and wait until it is done; figures stay as they are."""
    from deploy.erase import run_erase

    settings = read_settings()
    if key is None:
        fail("an API key with the scope admin is needed: set METERLINE_API_KEY or give --key")
    sys.exit(run_erase(customer, url or settings.url, key, out, err))


@secrets_app.command("new-key")
def secrets_new_key() -> None:
    """Print a fresh key as METERLINE_SECRETS_KEY takes it; it is kept nowhere."""
    from loaders.secrets.keys import new_key

    out.print(new_key().text, markup=False)


@secrets_app.command("rotate")
def secrets_rotate(
    *,
    new_key: Annotated[bool, typer.Option("--new-key", help="Put a fresh key into the file of keys first.")] = False,
    drop_old: Annotated[bool, typer.Option("--drop-old", help="Take keys that nothing needs out of the file.")] = False,
) -> None:
    """Wrap every password with the newest key; may be stopped and run again. Ends with 2 when some were left."""
    from deploy.secret_keys import run_rotate

    with _registry() as registry:
        sys.exit(run_rotate(read_settings(), registry, out, new_key=new_key, drop_old=drop_old))


@generations_app.command("list")
def generations_list() -> None:
    """List the log's topics with their partitions, oldest first."""
    from deploy.log_generations import GenerationsError, list_generations

    try:
        list_generations(read_settings(), out)
    except GenerationsError as error:
        fail(str(error))


@generations_app.command("add")
def generations_add(
    partitions: Annotated[int, typer.Option(min=1, max=1024, help="How many the log has from now on.")],
) -> None:
    """Give the log another number of partitions while it is in use; may be run again if it was stopped."""
    from deploy.log_generations import GenerationsError, add_generation

    try:
        add_generation(read_settings(), partitions, out)
    except GenerationsError as error:
        fail(str(error))


def _key_row(key: ApiKey, account: str) -> list[str]:
    now = datetime.now(UTC)
    state = "open" if key.usable(now) else "revoked" if key.revoked_at else "expired"
    if state == "open" and key.expires_at is not None:
        state = f"until {key.expires_at:%Y-%m-%d %H:%M}"
    last = f"{key.last_used_at:%Y-%m-%d %H:%M}" if key.last_used_at else "never"
    scopes = " ".join(sorted(key.scopes))
    created = f"{key.created_at:%Y-%m-%d %H:%M}"
    name, mode = escape(key.name), key.world.mode.value
    return [key.id, escape(account), mode, f"{key.start}…", scopes, name, created, last, state]


@contextmanager
def _registry() -> Iterator[Registry]:
    """Open the local registry, migrated."""
    settings: Settings = read_settings()
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    registry = Registry(settings.registry_url)
    try:
        migrate(registry)
        yield registry
    finally:
        registry.close()


if __name__ == "__main__":
    main()
