"""`meterline secrets ...`: make keys that passwords are kept with, and go over from one to the next."""

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from deploy.settings import SettingError, Settings, read_keyring
from loaders.connections.rotation import keys_in_use, rotate
from loaders.secrets.key_file import add_key, drop_keys
from loaders.secrets.keys import KeyFile, Keyring
from metering.registry.engine import EVERYBODY, Registry

EXIT_LEFT = 2


def run_rotate(settings: Settings, registry: Registry, console: Console, *, new_key: bool, drop_old: bool) -> int:
    """Wrap every password with the newest key; gives the exit code, `EXIT_LEFT` when some could not be.

    Raises:
        SettingError: what is asked for needs a file of keys, and the keys are in the environment.
        SecretError: there is no key, or the file cannot be read or written.
        RegistryUnavailableError: run it again; what was done stays.
    """
    keys = read_keyring(settings.data_dir)
    if new_key:
        fresh = add_key(_file(keys, "--new-key").path)
        console.print(f"made the key {fresh.id}; processes that run know it from now on")
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        console=console,
        disable=not console.is_terminal,
    ) as bar:
        task = bar.add_task("wrapping", total=None)
        rotated = rotate(registry, keys, lambda done, of: bar.update(task, completed=done, total=of))
    newest = keys.newest().id
    console.print(f"wrapped {rotated.rewrapped} with the key {newest}; {rotated.fresh} had it already")
    for connection_id, reason in rotated.left.items():
        console.print(f"[yellow]left:[/] {connection_id}: {escape(reason)}")
    if drop_old:
        _drop(_file(keys, "--drop-old"), registry, console)
    elif not rotated.left:
        console.print(f"no other key than {newest} is in use any more")
    return EXIT_LEFT if rotated.left else 0


def _drop(file: KeyFile, registry: Registry, console: Console) -> None:
    with registry.writing(EVERYBODY) as connection:  # Whoever was saving one with an old key has saved it by now.
        used = keys_in_use(connection)
        old = [key.id for key in file.listed()[1:] if key.id not in used]
        if old:
            drop_keys(file.path, old)
    console.print(f"took out of {escape(str(file.path))}: {', '.join(old) or 'nothing'}")


def _file(keys: Keyring, option: str) -> KeyFile:
    if not isinstance(keys, KeyFile):
        raise SettingError(
            f"{option} needs a file of keys, and there is none: write the new key before the others in "
            "METERLINE_SECRETS_KEY (`meterline secrets new-key` prints one), restart, rotate, take the old ones out"
        )
    return keys
