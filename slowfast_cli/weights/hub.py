"""Weights on the Hugging Face Hub: ``hf://owner/name[@revision][/file.safetensors]``; needs the extra ``hub``."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from slowfast_cli.types import SlowFastError, UsageError, WeightsError, text_of
from slowfast_cli.weights.export import export
from slowfast_cli.weights.model_card import model_card

PREFIX = "hf://"
ADDRESS = re.compile(r"hf://(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w.-]+))?(?:/(?P<file>.+\.safetensors))?")
FILE = "model.safetensors"
CLIENTS = ("httpx", "requests")  # modules of network errors, by version of huggingface_hub


def download(address: str, *, offline: bool = False) -> Path:
    """Download weights into the Hub's cache, unless they are there.

    Args:
        address: ``hf://owner/name[@revision][/file.safetensors]``; without a file ``model.safetensors``, or the only
            weight file of the repository.
        offline: Use the cache only.

    Raises:
        UsageError: The address is malformed, or the extra is not installed.
        WeightsError: The repository or file is not there, or cannot be reached.
    """
    hub, match = _require(address), ADDRESS.fullmatch(address)
    if match is None:
        raise UsageError(f"{address}: expected hf://OWNER/NAME[@REVISION][/FILE.safetensors]")
    repo, revision, file = match["repo"], match["revision"], match["file"]
    with _errors(hub, address, offline=offline):
        if file is None:
            names = [name for name in _files(hub, repo, revision, offline=offline) if name.endswith(".safetensors")]
            if FILE not in names and len(names) != 1:
                found = ", ".join(names[:5]) or "none"
                raise WeightsError(f"{address}: has weight files: {found}: name one, {address}/FILE.safetensors")
            file = FILE if FILE in names else names[0]
        return Path(hub.hf_hub_download(repo, file, revision=revision, local_files_only=offline))


def _files(hub: Any, repo: str, revision: str | None, *, offline: bool) -> list[str]:
    """Names of the files of a repository, or of those in the cache."""
    if not offline:
        return list(hub.list_repo_files(repo, revision=revision))
    folder = Path(hub.snapshot_download(repo, revision=revision, local_files_only=True))
    return [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]


def push(source: Path, address: str, *, private: bool = False, licence: str = "", notes: tuple[str, ...] = ()) -> str:
    """Upload weights as ``model.safetensors``, with a generated model card unless the repository has one.

    Args:
        source: The weight file.
        address: ``hf://owner/name`` or ``owner/name``; the repository is created if need be.
        private: Create it private.
        licence: License of the weights; empty keeps the one in the card.
        notes: Remarks for users, appended.

    Returns:
        The URL of the commit.

    Raises:
        UsageError: The address is malformed, or the extra is not installed.
        WeightsError: The Hub refused, or cannot be reached; or the repository is public, against ``private``.
    """
    address = address if address.startswith(PREFIX) else f"{PREFIX}{address}"
    hub, match = _require(address), ADDRESS.fullmatch(address)
    if match is None or match["file"] or match["revision"]:
        raise UsageError(f"{address.removeprefix(PREFIX)}: expected OWNER/NAME")
    with TemporaryDirectory() as folder, _errors(hub, address, offline=False):
        card = export(source, Path(folder) / FILE, licence=licence, notes=notes)
        (Path(folder) / "README.md").write_text(model_card(card, address), encoding="utf-8")
        api = hub.HfApi()
        if api.repo_exists(match["repo"]):
            if private and not api.repo_info(match["repo"]).private:
                raise WeightsError(f"{address}: exists and is public: make it private first, or name another")
            if "README.md" in api.list_repo_files(match["repo"]):  # perhaps edited since
                (Path(folder) / "README.md").unlink()
        else:
            api.create_repo(match["repo"], private=private)
        message = "Upload weights with slowfast"
        return str(api.upload_folder(repo_id=match["repo"], folder_path=folder, commit_message=message))


def _require(address: str) -> Any:
    if find_spec("huggingface_hub") is None:
        raise UsageError(f"{address}: needs huggingface_hub: pip install 'slowfast-cli[hub]'")
    import huggingface_hub.errors  # noqa: PLC0415  (an extra)

    return huggingface_hub


@contextmanager
def _errors(hub: Any, address: str, *, offline: bool) -> Iterator[None]:
    """Turn what the Hub's client raises into one line."""
    errors = hub.errors
    try:
        yield
    except SlowFastError:
        raise
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled) as error:
        why = "not in the cache, and --offline" if offline else "cannot be reached, and is not in the cache"
        raise WeightsError(f"{address}: {why}") from error
    except errors.EntryNotFoundError as error:
        raise WeightsError(f"{address}: the repository has no such file") from error
    except errors.RepositoryNotFoundError as error:
        raise WeightsError(
            f"{address}: no such repository, or it is private: check the name, or log in with `hf auth login`"
        ) from error
    except Exception as error:
        network = type(error).__module__.startswith(CLIENTS) or isinstance(error, errors.HfHubHTTPError | OSError)
        if not network:
            raise
        raise WeightsError(f"{address}: {text_of(error)}") from error
