"""The writing half of the Hub on loopback: repositories, branches, large files and commits of the real client.

Who may write is said by the tokens of `serving`: `tokens={"hf_a": {"lab/*"}}` may make repositories of `lab`, read and
change them. What arrives is in `hub.commits`, large files in `hub.blobs`; `hub.part` is the size of the parts that
those are sent in (None: whole), and the storage takes no token.
"""

from __future__ import annotations

import base64
import json
import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

import yaml  # type: ignore[import-untyped]  # comes with the client

from tests.support import hub_xet

if TYPE_CHECKING:
    from tests.support.hub_server import Api, Storage

LICENCES: Final = {"mit", "apache-2.0", "cc0-1.0", "cc-by-nc-4.0", "cc-by-sa-4.0", "odc-by", "unknown", "other"}
"""Some of the names that the Hub takes."""

REGULAR: Final = 10 << 20
"""Bytes from which any file is a large one."""


def upload(api: Api, parts: list[str], sent: bytes) -> bool:
    """Answer a request that writes; return whether it is one."""
    if parts[0] == "cas":
        hub_xet.answer(api, parts[1:], sent)
    elif parts[3:4] == ["xet-write-token"]:
        given = {"accessToken": hub_xet.TOKEN, "exp": int(time.time()) + 3600, "casUrl": f"{api.hub.endpoint}/cas"}
        writing(api, "/".join(parts[1:3]), lambda _: api.json(given))
    elif api.command != "POST":
        return False
    elif parts == ["repos", "create"]:
        create(api, json.loads(sent))
    elif parts == ["validate-yaml"]:
        validate(api, json.loads(sent)["content"])
    elif parts[0] == "complete":
        complete(api, parts[1], json.loads(sent)["parts"])
    elif parts[0] == "datasets" and parts[-3:] == ["lfs", "objects", "batch"]:
        writing(api, f"{parts[1]}/{parts[2].removesuffix('.git')}", lambda _: batch(api, json.loads(sent)["objects"]))
    elif parts[0] == "datasets" and len(parts) == 5 and parts[3] in WRITES:
        name, revision = "/".join(parts[1:3]), unquote(parts[4])
        writing(api, name, lambda name: WRITES[parts[3]](api, name, revision, sent))
    else:
        return False
    return True


def create(api: Api, asked: dict[str, Any]) -> None:
    name = f"{asked['organization']}/{asked['name']}"
    if api.token not in api.hub.tokens:
        return api.answer(401, X_Error_Message="Invalid credentials in Authorization header" if api.token else "")
    if not api.hub.may(api.token, name):
        said = f"You don't have the rights to create a dataset under the namespace {asked['organization']}"
        return api.answer(403, X_Error_Message=said)
    url = f"{api.hub.endpoint}/datasets/{name}"
    if name in api.hub.repositories:
        return api.answer(409, json.dumps({"error": "You already created this dataset repo", "url": url}).encode())
    api.hub.create(name, private=asked.get("visibility") == "private")
    return api.json({"url": url, "name": name})


def validate(api: Api, card: str) -> None:
    said = yaml.safe_load(card.split("---\n")[1])
    licences = [said.get("license", [])] if isinstance(said.get("license"), str) else said.get("license", [])
    errors = [{"message": f'"license" must be one of [{one}]'} for one in licences if one not in LICENCES]
    body = json.dumps({"errors": errors, "warnings": []}).encode()
    return api.answer(400 if errors else 200, body, Content_Type="application/json")


def writing(api: Api, name: str, act: Callable[[str], None]) -> None:
    """Do something to a repository if the token may."""
    refused = api.refusal(name, "commit")
    if refused is not None:
        return api.answer(refused[0], X_Error_Code=refused[1], X_Error_Message=refused[2])
    if not api.hub.may(api.token, name):
        return api.answer(403, X_Error_Message="Forbidden: you must use a token with write access")
    return act(name)


def branch(api: Api, name: str, new: str, _sent: bytes) -> None:
    if new in api.hub.refs[name]:
        return api.answer(409)
    api.hub.refs[name][new] = api.hub.refs[name]["main"]
    return api.json({})


def preupload(api: Api, name: str, revision: str, sent: bytes) -> None:
    files = api.hub.files(name, revision)
    if files is None:
        return api.answer(404, X_Error_Code="RevisionNotFound", X_Error_Message=f"Invalid rev id: {revision}")

    def answer(path: str, size: int) -> dict[str, Any]:
        large = api.hub.is_large(path) or size >= REGULAR
        oid = api.hub.oid(path, files[path]) if path in files else None
        return {"path": path, "uploadMode": "lfs" if large else "regular", "shouldIgnore": False, "oid": oid}

    return api.json({"files": [answer(one["path"], one["size"]) for one in json.loads(sent)["files"]]})


def batch(api: Api, objects: list[dict[str, Any]]) -> None:
    """Say where large files go: nowhere if they are there, else to the storage, in parts if `hub.part` says so."""
    hub, answers = api.hub, []
    for one in objects:
        found: dict[str, Any] = {"oid": one["oid"], "size": one["size"]}
        if one["oid"] not in hub.blobs:
            place: dict[str, Any] = {"href": f"{hub.storage}/{one['oid']}"}
            if hub.part is not None:
                count = math.ceil(one["size"] / hub.part)
                urls = {str(n): f"{hub.storage}/{one['oid']}/{n}" for n in range(1, count + 1)}
                place = {"href": f"{hub.endpoint}/api/complete/{one['oid']}"}
                place["header"] = {"chunk_size": str(hub.part), **urls}
            found["actions"] = {"upload": place}
        answers.append(found)
    return api.json({"objects": answers})


def store(storage: Storage, parts: list[str], sent: bytes) -> None:
    """Take a large file, or a part of it."""
    hub, oid = storage.hub, parts[0]
    if storage.headers.get("Authorization"):
        return storage.answer(400)  # a token must not leave the Hub
    if len(parts) > 1:
        hub.parts[oid, int(parts[1])] = sent
    elif not hub.keep(oid, sent):
        return storage.answer(400)
    return storage.answer(200, ETag=f'"{len(sent)}"')


def complete(api: Api, oid: str, parts: list[dict[str, Any]]) -> None:
    whole = b"".join(api.hub.parts.pop((oid, one["partNumber"])) for one in parts)
    return api.json({}) if api.hub.keep(oid, whole) else api.answer(400)


def commit(api: Api, name: str, revision: str, sent: bytes) -> None:
    lines = [json.loads(line) for line in sent.splitlines()]
    head, files = api.hub.refs[name].get(revision), api.hub.files(name, revision)
    if head is None or files is None:
        return api.answer(404, X_Error_Code="RevisionNotFound", X_Error_Message=f"Invalid rev id: {revision}")
    if lines[0]["value"].get("parentCommit", head) != head:
        return api.answer(412, X_Error_Message="A commit has happened since. Please refresh and try again.")
    held = dict(files)
    for line in lines[1:]:
        value = line["value"]
        if line["key"] == "file":
            held[value["path"]] = base64.b64decode(value["content"])
        elif line["key"] == "lfsFile":
            if value["oid"] not in api.hub.blobs:
                return api.answer(422, X_Error_Message=f"LFS pointer pointed to a file that does not exist: {value}")
            held[value["path"]] = api.hub.blobs[value["oid"]]
        elif line["key"] == "deletedFile":
            del held[value["path"]]
    made = api.hub.commit(name, held, revision)
    return api.json({"commitOid": made, "commitUrl": f"{api.hub.endpoint}/datasets/{name}/commit/{made}"})


WRITES: Final[dict[str, Callable[[Api, str, str, bytes], None]]] = {
    "branch": branch, "commit": commit, "preupload": preupload,
}  # fmt: skip
