"""RUN 1: what happened is read in pages and followed without a gap."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from intaglio.cli.main import main
from intaglio.core.errors import Invalid
from intaglio.core.journal import Notice
from intaglio.studio.journal import MOST
from intaglio.studio.open import Studio, init
from intaglio.studio.settings import Settings


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    with init(tmp_path / "studio", Settings(author="Ada")) as opened:
        yield opened


def note(studio: Studio, what: str, subject: str = "t") -> Notice:
    return studio.parts.journal.note(what, subject)


def take(lines: Iterator[Notice], count: int) -> list[int]:
    return [next(lines).number for _ in range(count)]


def test_it_is_read_in_pages_of_what_is_wanted(studio: Studio) -> None:
    for what, subject in [("task.queued", "a"), ("task.done", "a"), ("version.made", "v"), ("task.done", "b")]:
        note(studio, what, subject)
    journal = studio.library.journal
    assert [line.number for line in journal()] == [1, 2, 3, 4]
    assert [line.number for line in journal(after=1, limit=2)] == [2, 3]
    assert [line.number for line in journal(subject="a", what=["task.done", "version."])] == [2]
    assert [line.number for line in journal(what=["task.done", "version."])] == [2, 3, 4]
    assert journal(after=4) == []


def test_what_makes_no_sense_is_refused(studio: Studio) -> None:
    for wrong in ({"after": -1}, {"after": 2**63}, {"limit": 0}, {"limit": MOST + 1}):
        with pytest.raises(Invalid):
            studio.library.journal(**wrong)  # type: ignore[arg-type]
    with pytest.raises(Invalid):
        studio.library.journal(what=[""])
    with pytest.raises(Invalid):
        studio.library.follow(after=-1)  # at once, not with the first line


def test_RUN_1_it_is_followed_without_a_gap_while_others_write(studio: Studio) -> None:
    note(studio, "task.queued")

    def write() -> None:
        for _ in range(200):
            with studio.parts.database.write():
                for _ in range(10):
                    note(studio, "task.event")

    writer = threading.Thread(target=write)
    lines = studio.library.follow(after=0)
    writer.start()
    assert take(lines, 2001) == [*range(1, 2002)]
    writer.join()


def test_without_a_number_it_is_followed_from_now_on_and_at_once(studio: Studio) -> None:
    note(studio, "task.queued")
    lines = studio.library.follow(what=["version."])
    note(studio, "task.done")
    late = []
    for _ in range(5):
        timer = threading.Timer(0.1, note, (studio, "version.made"))
        timer.start()
        written = time.monotonic() + 0.1
        next(lines)
        late.append(time.monotonic() - written)
        timer.join()
    assert sorted(late)[2] < 0.2, "it is told within a tenth of a second, as a rule"


def test_a_follower_is_stopped(studio: Studio) -> None:
    stop = threading.Event()
    threading.Timer(0.2, stop.set).start()
    assert list(studio.library.follow(stop=stop)) == []


def test_the_command_reads_and_follows_it(studio: Studio, capsys: pytest.CaptureFixture[str]) -> None:
    note(studio, "task.queued")
    note(studio, "version.made")
    library = f"--library={studio.root}"
    assert main(["library", "journal", library]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["1", "2"]
    assert main(["library", "journal", library, "--what", "version.", "--json"]) == 0
    assert [line["number"] for line in json.loads(capsys.readouterr().out)] == [2]
    assert main(["library", "journal", library, "--follow", "--after", "0", "--limit", "2", "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["what"] for line in lines] == ["task.queued", "version.made"]
    assert main(["library", "journal", library, "--follow", "--subject", "t", "--after", "1", "--limit", "1"]) == 0
    assert capsys.readouterr().out.split()[0] == "2"
