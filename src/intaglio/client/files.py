"""Files of this machine that a call names: sent to the server first, and named there by what they are."""

from __future__ import annotations

import os
import re
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from intaglio.client.connection import Connection
from intaglio.core.asset import ADDRESS, Asset
from intaglio.core.canonical import PREFIX
from intaglio.core.errors import IntaglioError, InvalidRecord, NotFound, ServerGone
from intaglio.core.wire import from_wire
from intaglio.core.workflow import Workflow
from intaglio.studio.documents import SUFFIXES, read_workflow
from intaglio.studio.files import expanded, is_file, write_into

# What a call gives beside the files it writes.
RESULT = "result.json"


def sent(line: Connection, value: str | Path, names: dict[str, str], *, folders: bool) -> str:
    """What the server is to understand by a word: a file of this machine is uploaded, with `folders` also a whole
    folder; a name stays.

    `names` gets what the server calls it, and what it is called here.
    """
    path = expanded(value)
    if isinstance(value, str) and not is_path(value):
        return value
    if folders and path.is_dir():
        with tempfile.TemporaryDirectory(prefix="intaglio-") as folder:
            reference = _upload(line, packed(path, Path(folder)), {"unpack": "true"})
        place = reference.removesuffix(".zip")
        names[f"{place}/{_folder_name(path)}"] = names[place] = names[reference] = os.fspath(value)
        return reference
    if not path.is_file():
        return os.fspath(value)
    reference = _upload(line, path, {})
    names[reference] = os.fspath(value)
    return reference


def renamed(value: Any, names: Mapping[str, str]) -> Any:
    """JSON values, or the words of an error, with what was uploaded called what it is called here."""
    if isinstance(value, str):
        for reference in sorted(names, key=len, reverse=True):
            value = value.replace(reference, names[reference])
        return value
    if isinstance(value, dict):
        return {name: renamed(item, names) for name, item in value.items()}
    return type(value)(renamed(item, names) for item in value) if isinstance(value, (list, tuple)) else value


def is_path(text: str) -> bool:
    """Whether a word means a file or folder of this machine, and not a name in the library."""
    looks = os.sep in text or "." in text or text.startswith("~")
    try:
        return looks and expanded(text).exists()
    except (OSError, ValueError):
        return False


def packed(folder: Path, into: Path) -> Path:
    """A folder as one zip, stored as it is."""
    name = _folder_name(folder)
    target = into / f"{name}.zip"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(each for each in folder.rglob("*") if each.is_file()):
            archive.write(path, (name / path.relative_to(folder)).as_posix())
    return target


def _folder_name(folder: Path) -> Path:
    return Path(folder.absolute().name or "folder")


def unpacked(archive: Path, folder: Path) -> tuple[list[Path], bytes]:
    """Write the files of a zip from the server into a folder, as `write_into` does; their paths, and the result that
    lies beside them if any."""
    files, result = dict[str, bytes](), b""
    with zipfile.ZipFile(archive) as found:
        for info in found.infolist():
            target = folder / info.filename
            if not target.resolve().is_relative_to(folder.resolve()) or info.is_dir():
                raise ServerGone(f"the server sent a file that would lie outside the folder: {info.filename[:80]!r}")
            if info.filename == RESULT:
                result = found.read(info)
            else:
                files[info.filename] = found.read(info)
    return write_into(folder, files), result


def fetched(
    line: Connection,
    method: str,
    path: str,
    query: Mapping[str, Any],
    body: Any,
    folder: Path,
    hear: Callable[[str, list[Any]], None],
) -> tuple[list[Path], bytes]:
    """Ask for a zip, and write what is in it into a folder; see `unpacked`."""
    with tempfile.TemporaryDirectory(prefix="intaglio-") as place:
        archive = Path(place) / "files.zip"
        with archive.open("wb") as target:
            line.fetch(method, path, target, query=query, body=body, accept="application/zip", hear=hear)
        return unpacked(archive, folder)


def workflow_of(
    line: Connection, given: Workflow | str | Path, images: Callable[[], Mapping[str, set[str]]]
) -> Workflow | str:
    """A workflow as the server takes it: a name, or a whole document whose pictures are in the server's library.

    `images()` says by node type which parameters are reference pictures.
    """
    if isinstance(given, Workflow):
        return _with_pictures(line, given, Path(), images())
    if isinstance(given, str) and Path(given).suffix not in SUFFIXES and not is_file(given):
        return given
    path = expanded(given)
    return _with_pictures(line, read_workflow(path), path.absolute().parent, images())


def setting_of(line: Connection, text: str, names: set[str]) -> str:
    """A setting such as "photo.file=cat.png" with the file sent; `names` are the parameters that are pictures."""
    place, equals, value = text.partition("=")
    if not equals or place.rpartition(".")[2] not in names or value.startswith((ADDRESS, PREFIX)) or not is_file(value):
        return text
    return f"{place}={_picture_of(line, expanded(value))}"


def _picture_of(line: Connection, path: Path) -> str:
    """The digest of a reference picture; one that was exported from that library is known as what it was made as."""
    digest = asset_of(line, path).digest
    made: Asset = from_wire(Asset, line.ask("GET", f"/api/assets/{digest}/as-made"))
    return made.digest


def asset_of(line: Connection, path: Path) -> Asset:
    """A file of this machine as an asset of the server's library."""
    from intaglio.store.filehash import hash_open

    try:
        with path.open("rb") as file:
            digest, _ = hash_open(file, path)
    except OSError as error:
        raise NotFound("file", str(path)) from error
    try:
        found: Asset = from_wire(Asset, line.put("PUT", f"/api/assets/{digest}", path, {}, {"name": path.name}))
    except InvalidRecord as error:
        raise ServerGone(f"the server does not speak of assets as this version does: {error}") from error
    except IntaglioError as error:
        error.args = (re.sub(rf"^{re.escape(path.name)}\b", lambda _: str(path), str(error)),)
        raise
    return found


def _with_pictures(line: Connection, workflow: Workflow, base: Path, images: Mapping[str, set[str]]) -> Workflow:
    nodes = {}
    for name, node in workflow.nodes.items():
        pictures = images.get(node.type.partition("@")[0], set())
        params = dict(node.params)
        for param in pictures & params.keys():
            value = params[param]
            if isinstance(value, str) and not value.startswith((ADDRESS, PREFIX)) and is_file(base / expanded(value)):
                params[param] = _picture_of(line, base / expanded(value))
        nodes[name] = replace(node, params=params)
    return replace(workflow, nodes=nodes)


def _upload(line: Connection, path: Path, query: Mapping[str, str]) -> str:
    answer = line.put("POST", "/api/uploads", path, {}, {"name": path.name, **query})
    reference: str = answer["reference"]
    return reference
