"""What the remarks on a version come to: the last word counts, and nothing else changes what was said."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from intaglio.core.version import Remark, Standing, standing


def said(what: str, holds: bool = True, *, note: str = "", value: str = "", author: str = "Ada", at: int = 1) -> Remark:
    created = f"2026-06-{at:02d}T10:00:00Z"
    return Remark(version="v", what=what, holds=holds, note=note, value=value, created=created, author=author)


REMARKS = st.lists(
    st.builds(
        said,
        st.sampled_from(["approved", "rejected", "tag", "comment", "annotation", "needs-legacy-model", "unheard-of"]),
        st.booleans(),
        note=st.sampled_from(["a", "b"]),
        value=st.sampled_from(["hero", "web"]),
        at=st.integers(1, 28),
    ),
    max_size=12,
)


def test_nothing_said_is_nothing_known() -> None:
    assert standing([]) == Standing()


def test_the_last_judgement_counts() -> None:
    found = standing([said("approved", at=1), said("rejected", author="Bo", at=2)])
    assert (found.approval, found.by, found.when) == ("rejected", "Bo", "2026-06-02T10:00:00Z")
    assert standing([said("rejected"), said("approved")]).approval == "approved"


def test_a_judgement_is_taken_back_only_while_it_holds() -> None:
    taken = standing([said("approved"), said("approved", False)])
    assert (taken.approval, taken.by, taken.when) == ("", "", "")
    assert standing([said("approved"), said("rejected"), said("approved", False)]).approval == "rejected"
    assert standing([said("approved"), said("rejected"), said("rejected", False)]).approval == "approved"


def test_tags_are_there_once_in_the_order_they_came() -> None:
    two = [said("tag", value="hero"), said("tag", value="web"), said("tag", value="hero")]
    assert standing(two).tags == ("hero", "web")
    assert standing([*two, said("tag", False, value="hero")]).tags == ("web",)
    assert standing([said("tag", False, value="never given")]).tags == ()


def test_comments_and_annotations_are_added_to_and_taken_back_by_their_words() -> None:
    first, second, added = said("comment", note="warm"), said("comment", note="too warm"), said("annotation", note="x")
    assert standing([first, second, added]) == Standing(comments=(first, second), annotations=(added,))
    assert standing([first, second, said("comment", False, note="warm")]).comments == (second,)
    assert standing([added, said("comment", False, note="x")]).annotations == (added,)


def test_a_mark_for_a_lost_model_holds_until_it_is_taken_back() -> None:
    assert standing([said("needs-legacy-model")]).legacy
    assert not standing([said("needs-legacy-model"), said("needs-legacy-model", False)]).legacy


@given(REMARKS, REMARKS)
def test_what_was_said_of_one_thing_does_not_touch_another(before: list[Remark], after: list[Remark]) -> None:
    alone = standing([remark for remark in before + after if remark.what in ("approved", "rejected")])
    found = standing(before + after)
    assert (found.approval, found.by, found.when) == (alone.approval, alone.by, alone.when)
    tags = standing([remark for remark in before + after if remark.what == "tag"]).tags
    assert found.tags == tags


@given(REMARKS)
def test_the_last_word_on_anything_holds(remarks: list[Remark]) -> None:
    assert standing([*remarks, said("approved", at=28)]).approval == "approved"
    assert "hero" in standing([*remarks, said("tag", value="hero")]).tags
    assert "hero" not in standing([*remarks, said("tag", False, value="hero")]).tags
    assert standing([*remarks, said("needs-legacy-model")]).legacy
