"""VER 1, 2, 8: what is said of a version later is added, dated and signed; nothing said before is overwritten."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from acceptance.at_once import at_once
from acceptance.conftest import Command, node, write

from intaglio.core.errors import Conflict, IntaglioError, Invalid, NotFound
from intaglio.studio.open import Studio


@pytest.fixture
def poster(studio: Studio, plain_chain: Path) -> str:
    """The digest of a version with an annotation."""
    nodes = json.loads(plain_chain.read_text())["nodes"]
    workflow = write(plain_chain.with_name("poster.json"), "poster", {**nodes, "form": node("form", "big")})
    return studio.tasks.run(workflow, label="first", annotation="the first try").version


def test_VER_2_annotations_are_added_and_never_overwritten(studio: Studio, poster: str, command: Command) -> None:
    before = studio.versions.find(poster)
    assert command("versions", "annotate", "v1", "the client liked it").returncode == 0
    assert command("versions", "annotate", "v1", "but wants it warmer", "--as", "Cleo").returncode == 0
    assert studio.versions.find(poster) == before, "the record itself never changes"
    added = studio.versions.standing(poster).annotations
    assert [(one.note, one.author) for one in added][1:] == [("but wants it warmer", "Cleo")]
    assert all(datetime.fromisoformat(one.created) for one in added)
    words = command("versions", "show", "v1").stdout
    places = [words.index(text) for text in ("the first try", "the client liked it", "but wants it warmer  (Cleo, ")]
    assert places == sorted(places), "in the order they were said"
    shown = json.loads(command("versions", "show", "v1", "--json").stdout)
    assert shown["version"]["annotation"] == "the first try"
    assert [one["note"] for one in shown["standing"]["annotations"]] == ["the client liked it", "but wants it warmer"]


def test_VER_2_a_version_without_an_annotation_can_get_one(studio: Studio, plain_chain: Path) -> None:
    version = studio.tasks.run(plain_chain, no_annotation=True).version
    studio.versions.annotate(version, "it grew on us")
    assert studio.versions.find(version)[1].unannotated is True, "that it went without stays on record"
    assert studio.versions.standing(version).annotations[0].note == "it grew on us"


def test_VER_1_rejection_tags_and_comments_are_dated_and_signed(studio: Studio, poster: str, command: Command) -> None:
    assert command("versions", "comment", "v1", "too dark on the left").returncode == 0
    done = command("versions", "tag", "v1", "Hero", "client pick", "--json")
    assert [one["value"] for one in json.loads(done.stdout)] == ["hero", "client-pick"]
    assert command("versions", "reject", "v1", "--note", "legal says no", "--as", "Bea").returncode == 0
    now = studio.versions.standing(poster)
    assert (now.approval, now.by, now.tags) == ("rejected", "Bea", ("hero", "client-pick"))
    assert [one.note for one in now.comments] == ["too dark on the left"]
    words = command("versions", "show", "v1").stdout
    assert "rejected by Bea on" in words and "hero, client-pick" in words
    assert "commented: too dark on the left" in words and "rejected it: legal says no" in words
    assert command("versions", "tag", "v1", "hero", "--remove").returncode == 0
    assert command("versions", "reject", "v1", "--undo").returncode == 0
    now = studio.versions.standing(poster)
    assert (now.approval, now.tags) == ("", ("client-pick",))
    assert len(studio.versions.remarks(poster)) == 6, "what was taken back was still said"
    assert all(remark.author and datetime.fromisoformat(remark.created) for remark in studio.versions.remarks(poster))


@pytest.mark.parametrize(
    ("verb", "words", "error", "message"),
    [
        ("annotate", (" ",), Invalid, "nothing in it"),
        ("comment", ("",), Invalid, "nothing in it"),
        ("comment", ("x" * 10_001,), Invalid, "10001 characters"),
        ("tag", (["!!"],), Invalid, "no letter or digit"),
        ("tag", ([],), Invalid, "no tag"),
        ("tag", (["new", "kept"],), Conflict, "has the tag 'kept' already"),
    ],
)
def test_VER_1_what_cannot_be_said_is_refused_whole(
    studio: Studio, poster: str, verb: str, words: tuple[Any, ...], error: type[IntaglioError], message: str
) -> None:
    studio.versions.tag(poster, ["kept"])
    before = studio.versions.remarks(poster)
    with pytest.raises(error, match=message):
        getattr(studio.versions, verb)(poster, *words)
    assert studio.versions.remarks(poster) == before
    with pytest.raises(NotFound):
        getattr(studio.versions, verb)("v9", *words)


def test_VER_1_said_twice_or_unsaid_it_is_refused(studio: Studio, poster: str) -> None:
    with pytest.raises(Conflict, match="is not rejected"):
        studio.versions.reject(poster, holds=False)
    with pytest.raises(Conflict, match="has no tag 'hero'"):
        studio.versions.tag(poster, ["hero"], holds=False)
    studio.versions.reject(poster)
    with pytest.raises(Conflict, match="poster/v1-first is rejected already"):
        studio.versions.reject(poster, note="again")
    with pytest.raises(Invalid, match="201 characters"):
        studio.versions.comment(poster, "hm", author="x" * 201)


def test_VER_1_nobody_is_not_a_name(studio: Studio, poster: str, command: Command) -> None:
    refused = command("versions", "comment", "v1", "hm", INTAGLIO_AUTHOR="")
    assert refused.returncode == 2
    assert "--as NAME" in refused.stderr and "INTAGLIO_AUTHOR" in refused.stderr
    assert command("versions", "comment", "v1", "hm", "--as", "Cleo", INTAGLIO_AUTHOR="").returncode == 0


def test_VER_8_twenty_who_speak_at_once_are_all_heard_and_one_rejects(studio: Studio, poster: str) -> None:
    said = [("command", ("versions", "comment", poster, f"comment {number}")) for number in range(7)]
    tagged = [("command", ("versions", "tag", poster, "hero")) for _ in range(7)]
    rejected = [("command", ("versions", "reject", poster)) for _ in range(6)]
    codes = at_once(studio.root, [*said, *tagged, *rejected])
    assert codes[:7] == [0] * 7
    assert sorted(codes[7:14]) == [0, *[2] * 6]
    assert sorted(codes[14:]) == [0, *[2] * 5]
    now = studio.versions.standing(poster)
    assert {one.note for one in now.comments} == {f"comment {number}" for number in range(7)}
    assert (now.tags, now.approval) == (("hero",), "rejected")
    assert len(studio.versions.remarks(poster)) == 9
