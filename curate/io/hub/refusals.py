"""What the Hub refuses, in words: what is wrong, where, and what to do about it. A token is never part of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from curate.errors import CurateError, SourceNotFoundError, did_you_mean

SITE: Final = "https://huggingface.co"

TOKEN: Final = f"HF_TOKEN to a token of that account ({SITE}/settings/tokens)"
_ELSEWHERE: Final = "or fetch its files elsewhere and give them to files()"


def error_text(error: BaseException) -> str:
    r"""Return the message of an error on one line, without a full stop; its type if it has none.

    >>> error_text(ValueError("No such\n repository.")), error_text(TimeoutError())
    ('No such repository', 'TimeoutError')
    """
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__


@contextmanager
def explained(repository: str, revision: str | None) -> Iterator[None]:
    """Turn what the client raises within it into a `SourceNotFoundError`."""
    import httpx2
    from huggingface_hub import errors

    try:
        yield
    except CurateError:
        raise
    except (
        OSError, ValueError, RuntimeError, httpx2.HTTPError, errors.RevisionResolutionError,
        errors.CachedRepoTreeNotFoundError,
    ) as error:  # fmt: skip
        cause: BaseException = error
        while isinstance(cause, errors.LocalEntryNotFoundError) and cause.__cause__ is not None:
            cause = cause.__cause__
        raise SourceNotFoundError(without_token(_reason(cause, repository, revision))) from error


def _reason(error: BaseException, repository: str, revision: str | None) -> str:
    """Say why the Hub did not hand out what was asked for, and what to do."""
    import httpx2
    from huggingface_hub import errors

    match error:
        case errors.OfflineModeIsEnabled():
            return _not_cached(repository, revision, "HF_HUB_OFFLINE is set. Build once without it,")
        case httpx2.TransportError():
            why = f"the Hub cannot be reached ({error_text(error)}). Build once with a network,"
            return _not_cached(repository, revision, why)
        case errors.GatedRepoError():
            return _gated(repository)
        case errors.RevisionNotFoundError():
            return f"{repository} has no revision {revision!r}; {_revisions(repository, revision)}"
        case errors.RepositoryNotFoundError():
            return _missing(repository)
        case errors.HfHubHTTPError() if error.response is not None:
            return _status(repository, error.response.status_code, error_text(error))
    return f"{repository} cannot be read from the Hub: {error_text(error)}"


def _not_cached(repository: str, revision: str | None, why: str) -> str:
    at = f" at revision {revision}" if revision else ""
    return (
        f"{repository}{at} is not, or not whole, in the Hub's cache on this machine (HF_HOME), and {why} {_ELSEWHERE}"
    )


def _gated(repository: str) -> str:
    import httpx2
    from huggingface_hub import HfApi

    try:
        said = HfApi().dataset_info(repository).card_data
    except (OSError, httpx2.HTTPError):
        said = None
    asks = (said and said.get("extra_gated_fields")) or ()
    form = f" (it asks for: {', '.join(asks)})" if asks else ""
    accept = f"{repository} is gated: its terms are accepted at {SITE}/datasets/{repository}{form}."
    if has_token():
        return (
            f"{accept} The account of the token in use has no access: accept them with that account, wait where its "
            f"owners decide, and see that the token may read gated repositories ({SITE}/settings/tokens)"
        )
    return f"{accept} Then set {TOKEN}"


def _missing(repository: str) -> str:
    place = f"{SITE}/datasets/{repository}"
    if has_token():
        return (
            f"there is no data set {repository} on the Hub, or the account of the token in use may not read it: {place}"
        )
    return (
        f"there is no data set {repository} on the Hub, or it is private: see {place}. If it is private, set {TOKEN} "
        "that may read it"
    )


def _status(repository: str, status: int, said: str) -> str:
    if status == 401:
        return f"the Hub does not accept the token: correct HF_TOKEN, or make a new one at {SITE}/settings/tokens"
    if status == 429:
        more = "" if has_token() else ", or set HF_TOKEN, which raises the limit"
        return f"{repository}: the Hub allows no more requests for now (429), also after waiting. Try later{more}"
    if status >= 500:
        return f"{repository}: the Hub fails ({status}), also when asked again. Try later, {_ELSEWHERE}"
    if status == 403:
        return f"the token in use may not read {repository} (403): change its permissions at {SITE}/settings/tokens"
    return f"{repository} cannot be read from the Hub: {said}"


def _revisions(repository: str, revision: str | None) -> str:
    """Name the branches and tags that there are."""
    import httpx2
    from huggingface_hub import HfApi

    try:
        refs = HfApi().list_repo_refs(repository, repo_type="dataset")
    except (OSError, httpx2.HTTPError):
        return "give a commit, a branch or a tag"
    return did_you_mean(revision or "main", [one.name for one in (*refs.branches, *refs.tags)])


def has_token() -> bool:
    """Return whether there is a token, in `HF_TOKEN` or from a login."""
    from huggingface_hub import get_token

    return get_token() is not None


def without_token(text: str) -> str:
    """Return a text without the token that is in use."""
    from huggingface_hub import get_token

    token = get_token()
    return text.replace(token, "(the token)") if token else text
