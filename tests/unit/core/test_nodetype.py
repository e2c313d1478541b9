from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Annotated, Any, Literal, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intaglio.core.context import Context, Embedding, Lora, ModelFile
from intaglio.core.image import Image
from intaglio.core.nodetype import (
    FromModel,
    Interval,
    Migration,
    ModelKind,
    NodeType,
    NodeTypes,
    Port,
    Settle,
    node_type,
)
from intaglio.core.param import MAX_TEXT, Param
from intaglio.core.video import Media, Video


class Pair(NamedTuple):
    """Two outputs."""

    left: Image
    right: Image


def everything(
    ctx: Context,
    image: Image,
    mask: Image | None,
    *,
    model: Annotated[ModelFile, ModelKind("lora"), "The model."],
    picture: Image,
    amount: Annotated[float, Interval(ge=0, le=1), "How much."] = 0.5,
    steps: Annotated[int, Interval(ge=1)] = 20,
    limit: Annotated[int, Interval(le=9)] = 1,
    width: Annotated[int, FromModel("width")] = 0,
    device: Annotated[str, Settle("device")] = "auto",
    kind: Annotated[Literal["soft", "hard"], "Which."] = "soft",
    loud: bool = False,
    text: str,
    seed: int,
) -> Pair:
    """Everything at once."""
    return Pair(image, image)


TYPE = node_type("everything", version=3, batch=True, role="output")(everything)


def test_the_signature_is_the_declaration() -> None:
    assert (TYPE.name, TYPE.version, TYPE.batch, TYPE.role, TYPE.draws) == ("everything", 3, True, "output", True)
    assert TYPE.inputs == (Port("image", "image"), Port("mask", "image", optional=True))
    assert TYPE.outputs == (Port("left", "image"), Port("right", "image"))
    assert TYPE.doc == "Everything at once."
    assert TYPE.param("seed") is None, "the seed is no parameter"


def test_parameters_carry_bounds_choices_and_where_a_value_comes_from() -> None:
    params = {param.name: param for param in TYPE.params}
    assert params["model"] == Param("model", "model", model_kind="lora", doc="The model.")
    assert params["picture"] == Param("picture", "image")
    assert params["amount"] == Param("amount", "number", 0.5, ge=0, le=1, doc="How much.")
    assert params["kind"] == Param("kind", "string", "soft", choices=("soft", "hard"), doc="Which.")
    assert (params["width"].from_model, params["device"].settled_by) == ("width", "device")
    assert [name for name, param in params.items() if param.required] == ["model", "picture", "text"]
    assert [params[name].bounds for name in ("amount", "steps", "limit", "loud")] == [
        "0 to 1",
        "at least 1",
        "at most 9",
        "",
    ]


def test_edges_carry_pictures_or_videos_and_an_input_may_gather() -> None:
    def work(ctx: Context, image: Media, clip: Video | None, shots: tuple[Image, ...] | None) -> Media:
        return image

    def film(ctx: Context, frames: tuple[Image, ...], *, fps: Fraction = Fraction(48, 2)) -> Video:
        raise AssertionError

    found = node_type("x", version=1)(work)
    assert found.inputs == (Port("image", "media"), Port("clip", "video", True), Port("shots", "images", True))
    assert found.outputs == (Port("image", "media"),)
    made = node_type("film", version=1, encodes_video=True)(film)
    assert (made.outputs, made.encodes_video, found.encodes_video) == ((Port("video", "video"),), True, False)
    assert (made.params[0].type, made.params[0].default) == ("rational", "24")
    assert [port.gathers for port in found.inputs] == [False, False, True]
    assert [kind for kind in ("image", "video") if found.inputs[0].takes(kind)] == ["image", "video"]
    assert [kind for kind in ("image", "video") if found.inputs[2].takes(kind)] == ["image"]


RATE = Param("fps", "rational", ge=1, le=120)


@given(st.fractions(1, 120, max_denominator=100_000))
def test_a_fraction_is_written_in_one_way_however_it_is_given(value: Fraction) -> None:
    doubled = f"{2 * value.numerator}/{2 * value.denominator}"
    assert RATE.check(doubled) == RATE.check(str(value)) == str(value)
    assert Fraction(RATE.check(str(value))) == value


@pytest.mark.parametrize(
    ("given", "taken"),
    [(24, "24"), (24.0, "24"), ("24.0", "24"), (29.97, "2997/100"), ("30000/1001", "30000/1001"), ("012", "12")],
)
def test_a_rate_is_kept_exactly(given: object, taken: str) -> None:
    assert RATE.check(given) == taken


def test_without_a_seed_a_node_does_not_draw() -> None:
    def plain(ctx: Context, image: Image) -> Image:
        return image

    found = node_type("plain", version=1)(plain)
    assert (found.draws, found.params, found.doc, found.outputs) == (False, (), "", (Port("image", "image"),))


def adapted(
    ctx: Context,
    mask: Image | None,
    *,
    vae: Annotated[ModelFile | None, ModelKind("vae"), "Another one."] = None,
    loras: Annotated[tuple[Lora, ...], ModelKind("lora"), Interval(ge=-2, le=2), "Several."] = (),
    words: Annotated[tuple[Embedding, ...], ModelKind("textual-inversion")] = (),
    amount: float = 1.0,
) -> Image:
    """Take many models."""
    raise AssertionError


def test_models_may_be_left_out_and_may_be_several() -> None:
    found = node_type("adapted", version=1)(adapted)
    params = {param.name: param for param in found.params}
    assert params["vae"] == Param("vae", "model", None, model_kind="vae", doc="Another one.")
    assert params["loras"] == Param("loras", "loras", (), ge=-2, le=2, model_kind="lora", doc="Several.")
    assert params["words"] == Param("words", "embeddings", (), model_kind="textual-inversion")
    assert [name for name, param in params.items() if param.several] == ["loras", "words"]
    assert not any(param.required for param in params.values())
    assert params["vae"].check(None) is None
    assert params["vae"].check("mine") == "mine"


def test_a_type_says_what_it_cannot_promise_and_what_goes_together() -> None:
    plain = node_type("adapted", version=1)(adapted)
    assert (plain.deterministic, plain.networked, plain.together, dict(plain.migrations)) == (True, False, (), {})
    told = node_type("adapted", version=1, deterministic=False, networked=True, together=[("vae", "mask")])(adapted)
    assert (told.deterministic, told.networked, told.together) == (False, True, (("vae", "mask"),))
    with pytest.raises(TypeError, match="adapted: 'made_up' is neither an input nor a parameter"):
        node_type("adapted", version=1, together=[("vae", "made_up")])(adapted)


def _text_input(ctx: Context, text: str) -> Image:
    raise AssertionError


def _list_param(ctx: Context, *, sizes: list[int]) -> Image:
    raise AssertionError


def _text_output(ctx: Context, image: Image) -> str:
    raise AssertionError


def _optional_model_without_a_default(ctx: Context, *, model: ModelFile | None) -> Image:
    raise AssertionError


def _optional_param(ctx: Context, *, amount: float | None = None) -> Image:
    raise AssertionError


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (_text_input, "text: an edge carries an Image or a Video"),
        (_list_param, "sizes: .* cannot be a parameter"),
        (_text_output, "image: an edge carries an Image or a Video"),
        (_optional_param, "amount: .* cannot be a parameter"),
        (_optional_model_without_a_default, "model: .* cannot be a parameter"),
    ],
)
def test_a_signature_that_cannot_be_a_declaration_is_a_type_error(function: Callable[..., Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        node_type("wrong", version=1)(function)


BOUNDS = st.floats(-1e6, 1e6)


@given(BOUNDS, BOUNDS, st.floats() | st.integers(-(10**9), 10**9))
def test_a_number_is_taken_exactly_when_it_is_in_range(one: float, other: float, value: float) -> None:
    low, high = min(one, other), max(one, other)
    param = Param("x", "number", ge=low, le=high)
    if math.isfinite(value) and low <= value <= high:
        taken = param.check(value)
        assert type(taken) is float
        assert taken == value
        assert math.copysign(1, taken) == 1 or taken < 0, "no -0.0: a record could not tell it from 0.0"
    else:
        with pytest.raises(ValueError, match=r"out of range|not a number one can use"):
            param.check(value)


@given(st.integers(), st.integers(-5, 5), st.integers(6, 9))
def test_an_integer_is_taken_exactly_when_it_is_in_range(value: int, low: int, high: int) -> None:
    param = Param("x", "integer", ge=low, le=high)
    if low <= value <= high:
        assert param.check(value) == value
    else:
        with pytest.raises(ValueError, match="out of range"):
            param.check(value)


@given(st.text(st.characters()))
def test_text_is_taken_as_it_is_or_refused_for_half_a_character(value: str) -> None:
    if any("\ud800" <= character <= "\udfff" for character in value):
        with pytest.raises(ValueError, match="half a character"):
            Param("x", "string").check(value)
    else:
        assert Param("x", "string").check(value) == value


@pytest.mark.parametrize(
    ("param", "value", "message"),
    [
        (Param("x", "boolean"), 1, "needs true or false, not 1"),
        (Param("x", "integer"), True, "needs a whole number, not True"),
        (Param("x", "integer"), 1.0, "needs a whole number, not 1.0"),
        (Param("x", "number"), True, "needs a number, not True"),
        (Param("x", "number"), "1", "needs a number, not '1'"),
        (RATE, True, "needs a number of at most 6 decimals or a fraction"),
        (RATE, "1e99999999", "or a fraction"),
        (RATE, "1/0", "'1/0' divides by zero"),
        (RATE, "0.5", r"'0.5' is out of range \(1 to 120\)"),
        (RATE, 121, "out of range"),
        (RATE, "-24", "or a fraction"),
        (RATE, "\u0662\u0664", "or a fraction"),
        (RATE, 23.976023976023978, "at most 6 decimals"),
        (RATE, math.nan, "or a fraction"),
        (RATE, [24], "or a fraction"),
        (Param("x", "string"), 7, "needs text, not 7"),
        (Param("x", "model"), None, "needs text, not None"),
        (Param("x", "image"), ["a"], "needs text"),
        (Param("x", "string"), "a" * (MAX_TEXT + 1), "the limit is"),
        (Param("x", "string", choices=("a", "b")), "c", "'c' is not one of: a, b"),
        (Param("x", "string", choices=("a", "b")), ["a"] * 99, r"needs text, not \['a',.*\.\.\.$"),
    ],
)
def test_a_wrong_value_is_refused_in_plain_words(param: Param, value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        param.check(value)


def _versioned(name: str, version: int) -> NodeType:
    def work(ctx: Context, image: Image) -> Image:
        return image

    return node_type(name, version=version)(work)


def test_types_are_found_by_name_newest_and_exactly() -> None:
    types = NodeTypes([_versioned("b", 2), _versioned("b", 10), _versioned("b", 9), _versioned("a", 1)])
    assert list(types) == ["a", "b"]
    assert len(types) == 2
    assert types["b"].version == 10
    found = types.exact("b", 2)
    assert found is not None
    assert found.version == 2
    assert types.exact("b", 3) is None
    assert "c" not in types


def test_two_declarations_of_one_type_are_refused() -> None:
    with pytest.raises(ValueError, match="b@2 is declared twice"):
        NodeTypes([_versioned("b", 2), _versioned("b", 2)])


# -- migrations -------------------------------------------------------------------------------------------------------


def _tint(version: int, migrations: dict[int, Migration] | None = None) -> NodeType:
    def work(
        ctx: Context,
        image: Image,
        *,
        model: ModelFile,
        loras: tuple[Lora, ...] = (),
        amount: Annotated[float, Interval(ge=0, le=4)] = 1.0,
        kind: str = "soft",
    ) -> Image:
        return image

    return node_type("tint", version=version, migrations=migrations)(work)


def _percent(params: dict[str, Any]) -> dict[str, Any]:
    return {"amount": params["percent"] / 100, "kind": "soft"}


def _with_loras(params: dict[str, Any]) -> dict[str, Any]:
    if params["kind"] == "wild":
        raise ValueError("wild tinting is gone")
    return {**params, "loras": []}


CHAIN: dict[int, Migration] = {1: _percent, 2: _with_loras}


def test_an_old_step_means_the_newest_type_where_migrations_lead_there() -> None:
    newest = _tint(3, CHAIN)
    types = NodeTypes([newest])
    assert [types.meaning("tint", version) for version in (1, 2, 3, 4)] == [newest, newest, newest, None]
    assert types.meaning("hint", 1) is None
    assert NodeTypes([_tint(3, {1: _percent})]).meaning("tint", 1) is None, "a chain with a hole leads nowhere"
    old = _tint(1)
    assert NodeTypes([newest, old]).meaning("tint", 1) is old, "the exact one, where it is still there"


def test_migrations_are_applied_one_after_the_other_and_change_nothing_they_are_given() -> None:
    recorded = {"percent": 50}
    assert _tint(3, CHAIN).migrate(1, recorded) == {"amount": 0.5, "kind": "soft", "loras": []}
    assert recorded == {"percent": 50}
    assert _tint(3, CHAIN).migrate(3, {"anything": 1}) == {"anything": 1}, "its own version is taken as it is"


@pytest.mark.parametrize(
    ("migrations", "version", "recorded", "message"),
    [
        (CHAIN, 2, {"amount": 1.0, "kind": "wild"}, "wild tinting is gone"),
        (CHAIN, 1, {}, "its migration failed: KeyError: 'percent'"),
        (CHAIN, 1, {"percent": 500}, r"parameter 'amount': 5.0 is out of range \(0 to 4\)"),
        (
            {2: lambda params: {**params, "loras": ["ink"]}},
            2,
            {"amount": 1.0, "kind": "a"},
            "parameter 'loras': needs a",
        ),
        ({2: lambda params: params}, 2, {"amount": 1.0, "kind": "a"}, "its migration leaves out the parameter 'loras'"),
        (CHAIN, 2, {"amount": 1.0, "kind": "a", "x": 1}, "its migration makes up the parameter 'x'"),
    ],
)
def test_a_migration_that_cannot_keep_the_meaning_says_why(
    migrations: dict[int, Migration], version: int, recorded: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        _tint(3, migrations).migrate(version, recorded)


@pytest.mark.parametrize("number", [0, 3, 4])
def test_a_migration_from_no_earlier_version_is_a_type_error(number: int) -> None:
    with pytest.raises(TypeError, match=f"tint@3: there is no migration from version {number}"):
        _tint(3, {number: _percent})
