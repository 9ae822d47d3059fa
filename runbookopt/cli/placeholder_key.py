"""The key of this clone by which placeholders of what could be guessed are made; it never leaves it."""

import secrets
from pathlib import Path

_BYTES = 32
_NAME = "placeholder-key"


def placeholder_key(root: Path) -> bytes:
    """The key in `.runbookopt/` of a repository, made where there is none yet; one run's own in mere folders.

    Raises Refused where a commit brought it, RunbookoptError where it cannot be read or made.
    """
    from runbookopt.errors import RunbookoptError
    from runbookopt.forge.git.output import GitFailed
    from runbookopt.forge.git.repository import Repository
    from runbookopt.project.local_state import local_folder

    try:
        repository = Repository.open(root)
    except GitFailed:
        return secrets.token_bytes(_BYTES)
    with repository:
        path = local_folder(repository) / _NAME
        try:
            with path.open("xb") as file:
                path.chmod(0o600)
                file.write(secrets.token_bytes(_BYTES))
        except FileExistsError:
            pass
        except OSError as error:
            raise RunbookoptError(f"{path}: cannot be written: {error.strerror}") from error
        key = path.read_bytes()
    if len(key) != _BYTES:
        raise RunbookoptError(f"{path}: expected a key of {_BYTES} bytes: remove the file, and one is made")
    return key
