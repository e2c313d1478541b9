"""VER 5: creative directions: derived, shown as a tree, put away and brought back, and changes carried between them."""

from __future__ import annotations

import getpass
import json
from pathlib import Path
from typing import Any

import pytest
from acceptance.conftest import Command, ramp

from intaglio.core.errors import Conflict, Invalid, InvalidWorkflow, NotFound, StorageFailed
from intaglio.core.record import plain
from intaglio.core.workflow import parse_workflow
from intaglio.imaging.png import encode
from intaglio.studio.open import Studio


def change(path: Path, node: str, **params: Any) -> Path:
    """The same workflow file with other parameters at one node."""
    document = json.loads(path.read_text())
    document["nodes"][node]["params"] |= params
    path.write_text(json.dumps(document))
    return path


def test_VER_5_a_branch_has_its_own_versions_and_a_common_ancestor(studio: Studio, plain_chain: Path) -> None:
    first = studio.tasks.run(plain_chain, annotation="one")
    branch = studio.workflows.branch("v1", "Campaign-B-CoolMinimal", note="cooler, less")
    assert (branch.base, branch.version) == (studio.versions.find("v1")[1].workflow, first.version)
    other = studio.tasks.run("Campaign-B-CoolMinimal", annotation="its first")
    version = studio.versions.find(other.version)[1]
    assert (version.workflow.name, version.number, version.parent) == ("Campaign-B-CoolMinimal", 1, first.version)
    assert studio.versions.find(studio.tasks.run(plain_chain, annotation="two").version)[1].number == 2
    assert studio.workflows.branch("plain@1", "from-the-workflow").version == ""
    for taken in ("plain", "PLAIN", "Campaign-B-CoolMinimal"):
        with pytest.raises(Conflict, match="there is a workflow"):
            studio.workflows.branch("plain", taken)
    with pytest.raises(InvalidWorkflow, match="is not a name"):
        studio.workflows.branch("plain", "../away")
    with pytest.raises(NotFound, match="no workflow 'nobody'"):
        studio.workflows.branch("nobody", "x")


def test_VER_5_a_branch_begins_in_discovery_and_runs_without_its_files(
    studio: Studio, plain_chain: Path, tmp_path: Path
) -> None:
    run = studio.tasks.run(plain_chain, annotation="one")
    studio.versions.approve(run.version)
    (tmp_path / "reference.png").unlink()
    studio.workflows.branch("plain", "B")
    workflow, _ = studio.workflows.show("B")
    assert workflow.mode == "discovery"
    assert not any(pin.seed or pin.models for pin in workflow.pins.values())
    assert studio.tasks.run("B").status == "done"


def test_VER_5_the_tree_shows_directions_and_hides_what_was_put_away(
    studio: Studio, plain_chain: Path, command: Command
) -> None:
    studio.tasks.run(plain_chain, annotation="one", label="hero")
    for name in ("B", "C"):
        studio.workflows.branch("plain", name)
    studio.workflows.branch("B", "B-warm")
    studio.versions.approve("hero")
    assert command("workflows", "archive", "B", "--note", "not chosen").returncode == 0
    shown = command("workflows", "tree").stdout
    assert "plain @2  production  1 version, newest v1-hero  approved v1-hero" in shown
    assert "└─ C @1" in shown and "B-warm @1" in shown and "B @1" not in shown
    assert "├─ B @1  discovery  archived" in command("workflows", "tree", "--archived").stdout
    assert [name for name, *_ in studio.workflows.list()] == ["B-warm", "C", "plain"]
    assert [name for name, *_ in studio.workflows.list(archived=True)] == ["B", "B-warm", "C", "plain"]
    assert [one["name"] for one in json.loads(command("workflows", "tree", "--json").stdout)[0]["branches"]] == [
        "B-warm",
        "C",
    ]
    with pytest.raises(NotFound):
        studio.workflows.tree("nobody")


def test_VER_5_archiving_deletes_nothing(studio: Studio, plain_chain: Path, command: Command) -> None:
    studio.tasks.run(plain_chain, annotation="one")
    studio.workflows.branch("v1", "B")
    run = studio.tasks.run("B", annotation="its first")
    studio.workflows.archive("B")
    with pytest.raises(Conflict, match="archived already"):
        studio.workflows.archive("B")
    assert studio.versions.reproduce("B/v1").fidelity.verdict == "identical bytes"
    with pytest.raises(Conflict, match="is archived"):
        studio.versions.approve(run.version)
    assert "warning: workflow B is archived" in command("tasks", "run", "B").stderr
    assert command("workflows", "revive", "B").returncode == 0
    with pytest.raises(Conflict, match="not archived"):
        studio.workflows.revive("B")
    assert studio.workflows.warnings("B") == []
    said = [(remark.what, remark.holds, remark.author) for remark in studio._parts.branches.remarks("B")]
    assert said == [("archived", True, "Ada"), ("archived", False, getpass.getuser())]


def test_VER_5_what_changed_in_the_base_is_taken_over_node_by_node(
    studio: Studio, plain_chain: Path, command: Command
) -> None:
    studio.tasks.run(plain_chain, annotation="one")
    studio.workflows.branch("v1", "B")
    studio.workflows.add(change(change(plain_chain, "grain", amount=0.7), "big", factor=3))
    shown = command("workflows", "take", "B")
    assert "grain.amount 0.3 -> 0.7" in shown.stdout and "do it with --yes" in shown.stdout
    assert studio.workflows.show("B")[1].version == 1, "shown first"
    done = command("workflows", "take", "B", "--node", "grain", "--yes")
    assert "B is now @2" in done.stdout
    workflow, _ = studio.workflows.show("B")
    assert (workflow.nodes["grain"].params["amount"], workflow.nodes["big"].params["factor"]) == (0.7, 2)
    assert [str(edit) for edit in studio.workflows.take("B", make=False).merged.taken] == ["big.factor 2 -> 3"]
    studio.workflows.take("B")
    assert studio.workflows.take("B").workflow is None, "nothing is left to take"
    # The base moves on from what was taken: that is no conflict, though the branch has it too.
    studio.workflows.add(change(plain_chain, "grain", amount=0.9))
    assert studio.workflows.take("B").workflow is not None
    assert studio.workflows.show("B")[0].nodes["grain"].params["amount"] == 0.9
    with pytest.raises(NotFound, match="no node 'nobody'"):
        studio.workflows.take("B", nodes=["nobody"])
    with pytest.raises(Conflict, match="no branch"):
        studio.workflows.take("plain")


def test_VER_5_a_conflict_is_shown_and_never_guessed(
    studio: Studio, plain_chain: Path, tmp_path: Path, command: Command
) -> None:
    studio.tasks.run(plain_chain, annotation="one")
    studio.workflows.branch("v1", "B")
    own = tmp_path / "own.json"
    own.write_text(plain_chain.read_text().replace('"plain"', '"B"'))
    studio.workflows.add(change(own, "grain", amount=0.5))
    studio.workflows.add(change(plain_chain, "grain", amount=0.7))
    before = studio.workflows.show("B")
    shown = command("workflows", "take", "B")
    assert "CONFLICT  grain.amount 0.3 -> 0.7; here it is 0.5" in shown.stdout
    refused = command("workflows", "take", "B", "--yes")
    assert refused.returncode == 2 and "--theirs grain" in refused.stderr
    assert studio.workflows.show("B") == before
    kept = studio.workflows.take("B", choices={"grain": "ours"})
    assert kept.merged.kept and studio.workflows.show("B") == before
    assert not studio.workflows.take("B", make=False).merged.clashes, "what was decided is not asked again"
    studio.workflows.add(change(plain_chain, "grain", amount=0.8))
    studio.workflows.take("B", choices={"grain": "theirs"})
    assert studio.workflows.show("B")[0].nodes["grain"].params["amount"] == 0.8


def test_VER_5_a_clients_change_is_applied_to_other_directions(
    studio: Studio, plain_chain: Path, command: Command
) -> None:
    studio.tasks.run(plain_chain, annotation="one")
    for name in ("B", "C"):
        studio.workflows.branch("v1", name)
    studio.tasks.run(plain_chain, set=["grain.amount=0.6"], annotation="the client: more grain")
    shown = command("versions", "apply", "plain/v1..v2", "--to", "B", "--to", "C")
    assert shown.stdout.count("grain.amount 0.3 -> 0.6") == 2
    assert {studio.workflows.show(name)[1].version for name in ("B", "C")} == {1}, "shown first"
    assert command("versions", "apply", "plain/v1..v2", "--to", "B", "--to", "C", "--yes").returncode == 0
    for name in ("B", "C"):
        assert studio.workflows.show(name)[0].nodes["grain"].params["amount"] == 0.6
    assert [one.workflow for one in studio.versions.apply("plain/v2", ["B"])] == [None], "it is there already"


def test_VER_5_a_change_is_applied_to_all_or_to_none(studio: Studio, plain_chain: Path) -> None:
    studio.tasks.run(plain_chain, annotation="one")
    for name in ("B", "C"):
        studio.workflows.branch("v1", name)
    studio.tasks.run(plain_chain, set=["grain.amount=0.6"], annotation="two")
    run = studio.tasks.run("C", set=["grain.amount=0.1"], annotation="its own")
    studio.versions.approve(run.version)
    before = {name: studio.workflows.show(name) for name in ("B", "C")}
    with pytest.raises(Conflict, match=r"both sides changed C: grain\.amount"):
        studio.versions.apply("plain/v1..v2", ["B", "C"])
    assert {name: studio.workflows.show(name) for name in ("B", "C")} == before
    done = studio.versions.apply("plain/v1..v2", ["B", "C"], choices={"grain": "theirs"})
    assert all(one.workflow is not None for one in done)
    assert studio.workflows.show("C")[0].nodes["grain"].params["amount"] == 0.6
    with pytest.raises(NotFound):
        studio.versions.apply("plain/v1..v2", ["nobody"])
    with pytest.raises(Conflict, match="no version before it"):
        studio.versions.apply("plain/v1", ["B"])


def test_VER_5_what_was_set_for_a_run_belongs_to_the_branch(studio: Studio, plain_chain: Path) -> None:
    studio.tasks.run(plain_chain, set=["grain.amount=0.2"], annotation="one")
    branch = studio.workflows.branch("v1", "B")
    assert branch.base.digest == studio.workflows.show("plain@1")[1].digest
    assert studio.workflows.take("B").workflow is None, "the base did not change"
    assert studio.workflows.tree()[0].branches[0].waiting == 0
    studio.workflows.add(change(plain_chain, "grain", amount=0.9))
    assert [str(clash) for clash in studio.workflows.take("B", make=False).merged.clashes] == [
        "grain.amount 0.3 -> 0.9; here it is 0.2"
    ]


def test_VER_5_an_edited_branch_does_not_run_an_old_reference_picture(
    studio: Studio, plain_chain: Path, tmp_path: Path
) -> None:
    studio.tasks.run(plain_chain, annotation="one")
    studio.workflows.branch("v1", "B")
    document = studio.workflows.show("B")[0]
    edited = plain(document)
    edited["nodes"]["in"]["params"]["image"] = "other.png"
    studio.workflows.add(parse_workflow(edited))
    with pytest.raises(Invalid, match=r"other\.png"):
        studio.tasks.run("B")


def test_VER_5_what_was_shown_is_what_is_made(studio: Studio, plain_chain: Path) -> None:
    studio.tasks.run(plain_chain, annotation="one")
    studio.workflows.branch("v1", "B")
    studio.workflows.add(change(plain_chain, "grain", amount=0.7))
    shown = studio.workflows.take("B", make=False)
    studio.workflows.add(change(plain_chain, "big", factor=3))
    with pytest.raises(Conflict, match="changed since it was shown"):
        studio.workflows.take("B", basis=shown.basis)
    assert studio.workflows.show("B")[1].version == 1
    again = studio.workflows.take("B", make=False)
    assert studio.workflows.take("B", basis=again.basis).workflow is not None


def test_VER_5_what_is_taken_into_production_takes_it_out_of_it(
    studio: Studio, plain_chain: Path, command: Command
) -> None:
    studio.tasks.run(plain_chain, annotation="one")
    studio.workflows.branch("v1", "B")
    studio.versions.approve(studio.tasks.run("B", annotation="its first").version)
    studio.workflows.add(change(plain_chain, "grain", amount=0.7))
    said = command("workflows", "take", "B", "--yes").stdout
    assert "B is now @3, in discovery: it is no longer what was approved" in said
    assert studio.workflows.show("B")[0].mode == "discovery"


def test_VER_5_going_back_opens_what_was_taken_on_the_way(studio: Studio, plain_chain: Path) -> None:
    studio.tasks.run(plain_chain, annotation="one")
    studio.workflows.branch("v1", "B")
    studio.tasks.run("B", annotation="its first")
    studio.workflows.add(change(plain_chain, "grain", amount=0.7))
    studio.workflows.take("B")
    studio.tasks.run("B", annotation="with more grain")
    assert studio.workflows.take("B", make=False).merged.taken == ()
    studio.versions.roll_back("B/v1", annotation="back")
    assert [str(edit) for edit in studio.workflows.take("B", make=False).merged.taken] == ["grain.amount 0.3 -> 0.7"]


def test_VER_5_the_same_change_on_both_sides_is_settled(studio: Studio, plain_chain: Path) -> None:
    studio.tasks.run(plain_chain, annotation="one")
    studio.workflows.branch("v1", "B")
    studio.versions.apply("plain/v1..plain/v1", ["B"])
    studio.tasks.run(change(plain_chain, "grain", amount=0.6), annotation="two")
    studio.versions.apply("plain/v1..v2", ["B"])
    assert studio.workflows.take("B").workflow is None
    studio.workflows.add(change(plain_chain, "grain", amount=0.65))
    assert not studio.workflows.take("B", make=False).merged.clashes


@pytest.mark.parametrize("name", ["B.yaml", "B.json", "D ", "D.."])
def test_VER_5_a_branch_is_not_called_like_a_file(studio: Studio, plain_chain: Path, name: str) -> None:
    studio.tasks.run(plain_chain, annotation="one")
    with pytest.raises(Invalid, match="would be taken for a file"):
        studio.workflows.branch("v1", name)


def test_VER_5_what_can_only_be_read_can_be_looked_at(studio: Studio, plain_chain: Path) -> None:
    studio.tasks.run(plain_chain, annotation="one")
    studio.workflows.branch("v1", "B")
    studio.workflows.add(change(plain_chain, "grain", amount=0.7))
    studio._parts.database.read_only = True
    assert studio.workflows.take("B", make=False).merged.taken
    assert studio.versions.apply("plain/v1..plain/v1", ["B"], make=False)
    with pytest.raises(StorageFailed):
        studio.workflows.take("B")


def test_VER_5_taking_a_change_leaves_the_branch_its_own_reference_picture(
    studio: Studio, plain_chain: Path, tmp_path: Path
) -> None:
    studio.tasks.run(plain_chain, annotation="one")
    studio.workflows.branch("v1", "B")
    before = studio.workflows.show("B")[0].pins["in"]
    picture = tmp_path / "reference.png"
    picture.write_bytes(encode(ramp(16, 24)))
    studio.tasks.run(change(plain_chain, "grain", amount=0.7), annotation="another picture under the same path")
    studio.workflows.take("B")
    workflow, _ = studio.workflows.show("B")
    assert workflow.nodes["grain"].params["amount"] == 0.7
    assert workflow.pins["in"] == before
