"""Weight files of the Hugging Face hub: from its cache on this machine, else fetched, or neither.

Whether the hub can be reached is asked once, with a short timeout, before a download is tried: the
hub's own client would repeat a failed request for half a minute.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from headstart.errors import NetworkError
from headstart.networks.torchvision_guard import MISSING_EXTRA

HUB_TIMEOUT_S = 5.0
CARD_URL = "https://huggingface.co/"

_Answer = TypeVar("_Answer")


class HubError(Exception):
    """The hub did not deliver a file; the message is the reason, for a longer one to tell.

    Attributes:
        is_absent: Whether the repository was there and only lacks the file.
    """

    def __init__(self, reason: str, *, is_absent: bool = False) -> None:
        super().__init__(reason)
        self.is_absent = is_absent


def cached_file(repo: str, name: str) -> Path | None:
    """A repository's file in the hub's cache on this machine, or None.

    Args:
        repo: ``owner/name``, or ``owner/name@revision``.
        name: The file's name in the repository.
    """
    try:
        from huggingface_hub import try_to_load_from_cache
    except ModuleNotFoundError:
        return None
    owner, _, revision = repo.partition("@")
    try:
        found = try_to_load_from_cache(owner, name, revision=revision or None)
    except ValueError:  # not a repository's name: nothing is kept under it
        return None
    return Path(found) if isinstance(found, str) else None


def fetch_file(repo: str, name: str) -> Path:
    """A repository's file, downloaded into the hub's cache.

    Args:
        repo: ``owner/name``, or ``owner/name@revision``.
        name: The file's name in the repository.

    Raises:
        HubError: If the hub cannot be reached, or does not have or give the file.
        NetworkError: If huggingface_hub is not installed.
    """
    try:
        from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
    except ModuleNotFoundError as error:
        raise NetworkError(
            f"weights from a hub need huggingface_hub, which is not installed: {MISSING_EXTRA}"
        ) from error
    owner, _, revision = repo.partition("@")
    url = _asked(lambda: hf_hub_url(owner, name, revision=revision or None), repo, name)
    _asked(lambda: get_hf_file_metadata(url, timeout=HUB_TIMEOUT_S), repo, name)
    path = _asked(lambda: hf_hub_download(owner, name, revision=revision or None), repo, name)
    return Path(path)


def cache_folder() -> str:
    """Where the hub's cache lies, for messages."""
    from huggingface_hub import constants

    return constants.HF_HUB_CACHE


def _asked(question: Callable[[], _Answer], repo: str, name: str) -> _Answer:
    """The hub's answer, or one sentence about why there is none.

    Which errors the client raises when it cannot connect depends on its version and its transport,
    so that whatever it raises is taken as "no answer"; the cause stays attached.
    """
    from huggingface_hub import errors

    try:
        return question()
    except errors.OfflineModeIsEnabled as error:
        raise HubError("the hub is switched off here (HF_HUB_OFFLINE)") from error
    except errors.GatedRepoError as error:
        raise HubError(
            f"{repo} is gated: accept its terms on {CARD_URL}{repo} and log in (hf auth login)"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise HubError(f"{repo} is not a revision that the hub has") from error
    except errors.RepositoryNotFoundError as error:
        raise HubError(f"the hub has no repository {repo}, or it is private") from error
    except errors.EntryNotFoundError as error:
        if isinstance(error, errors.LocalEntryNotFoundError):
            raise HubError(f"the hub stopped answering ({_first_line(error)})") from error
        raise HubError(f"{repo} has no file {name}", is_absent=True) from error
    except errors.HFValidationError as error:
        raise HubError(f"{repo!r} is not a repository's name ({_first_line(error)})") from error
    except Exception as error:
        raise HubError(f"the hub cannot be reached ({_first_line(error)})") from error


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "") or type(error).__name__
