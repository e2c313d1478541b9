"""What people get wrong, as tables: the input, the exit code, and the words that must be said."""

from __future__ import annotations

import json
from typing import Any

Case = tuple[str, str, int, tuple[str, ...]]

REFERENCE = {"type": "reference-image", "params": {"image": "picture.png"}}


def document(**changes: Any) -> dict[str, Any]:
    """A workflow document that is right but for `changes` to its grain node."""
    grain: dict[str, Any] = {"type": "film-grain", "inputs": {"image": "in"}, "params": {"amount": 0.2}, **changes}
    return {
        "name": "bad",
        "nodes": {"in": REFERENCE, "grain": grain, "out": {"type": "output", "inputs": {"image": "grain"}}},
    }


def grain(**changes: Any) -> str:
    """The same as JSON text."""
    return json.dumps(document(**changes))


def nodes(found: dict[str, Any], **more: Any) -> str:
    """A workflow of these nodes as JSON text."""
    return json.dumps({"name": "bad", "nodes": found, **more})


def generation(**params: Any) -> str:
    """A workflow that asks for a picture from a model."""
    return nodes({"base": {"type": "text-to-image", "params": {"model": "scenes", "prompt": "a house", **params}}})


def picture(name: str) -> str:
    """A workflow that brings in a reference picture of that name."""
    return nodes({"in": {"type": "reference-image", "params": {"image": name}}})


CIRCLE = {
    "a": {"type": "upscale", "inputs": {"image": "b"}},
    "b": {"type": "upscale", "inputs": {"image": "a"}},
}
ITSELF = {"a": {"type": "upscale", "inputs": {"image": "a"}}}
SEED = "18446744073709551615"

# Name of the case, the workflow file's text, exit code, words. Files are JSON.
GRAPHS: list[Case] = [
    ("unknown node type", grain(type="film-grian"), 2, ("node 'grain', type", "Did you mean 'film-grain'")),
    ("node type like no other", grain(type="zzz"), 2, ("no node type 'zzz'", "intaglio nodes list")),
    ("node type with a newer version", grain(type="film-grain@9"), 2, ("no version '9'", "film-grain@1")),
    ("node type with an odd version", grain(type="film-grain@x"), 2, ("no version 'x'",)),
    ("node type with an endless version", grain(type="film-grain@" + "9" * 5000), 2, ("has no version",)),
    ("parameter name", grain(params={"amuont": 0.2}), 2, ("no parameter 'amuont'", "Did you mean 'amount'")),
    ("parameter like no other", grain(params={"q": 1}), 2, ("no parameter 'q'", "amount, size, monochrome")),
    ("seed among the parameters", grain(params={"seed": 1}), 2, ("no parameter 'seed'", "beside params")),
    ("parameter type", grain(params={"amount": "much"}), 2, ("params.amount", "needs a number, not 'much'")),
    ("boolean for a number", grain(params={"amount": True}), 2, ("needs a number, not True",)),
    ("number for a boolean", grain(params={"monochrome": 1}), 2, ("needs true or false, not 1",)),
    ("fraction for a whole number", grain(params={"size": 1.5}), 2, ("needs a whole number, not 1.5",)),
    ("parameter range", grain(params={"amount": 1.5}), 2, ("1.5 is out of range (0 to 1)",)),
    ("number beyond any", grain(params={"amount": 10**400}), 2, ("params.amount", "out of range")),
    ("whole number beyond any", grain(params={"size": 2**70}), 2, ("params.size", "out of range")),
    ("list for a number", grain(params={"amount": [1]}), 2, ("needs a number, not [1]",)),
    ("nothing for a number", grain(params={"amount": None}), 2, ("needs a number, not None",)),
    ("nested deep in a parameter", grain(params={"amount": [[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]}), 2, ("deeper",)),
    ("parameters as a list", grain(params=[1]), 2, ("node 'grain', params", "needs a mapping, not a list")),
    ("missing parameter", nodes({"in": {"type": "reference-image"}}), 2, ("params.image", "is missing")),
    ("cycle", nodes(CIRCLE), 2, ("goes in a circle", "a -> b", "Take one of these inputs away")),
    ("cycle of one", nodes(ITSELF), 2, ("goes in a circle: a -> a",)),
    ("dangling input", grain(inputs={"image": "inn"}), 2, ("no such node", "Did you mean 'in'")),
    ("dangling output", grain(inputs={"image": "in.mask"}), 2, ("no output 'mask'", "Its outputs: image")),
    ("unknown input name", grain(inputs={"imgae": "in"}), 2, ("no input 'imgae'", "Did you mean 'image'")),
    ("unconnected input", grain(inputs={}), 2, ("node 'grain', inputs.image", "not connected", "Name the node")),
    ("input that is a number", grain(inputs={"image": 1}), 2, ("inputs.image", "needs text, not a number")),
    ("unknown field", grain(color="red"), 2, ("'color' is unknown", "go under params")),
    ("seed on a node that draws nothing", nodes({"in": {**REFERENCE, "seed": 7}}), 2, ("draws nothing", "no seed")),
    ("count on a node without one", grain(count=3), 2, ("film-grain takes no count",)),
    ("count of zero", grain(count=0), 2, ("node 'grain', count", "from 1 to 10000")),
    ("count of true", grain(count=True), 2, ("from 1 to 10000",)),
    ("count of a long list", grain(count=[1] * 10_000), 2, ("from 1 to 10000",)),
    ("count of a number beyond any", grain(count=10**300), 2, ("from 1 to 10000",)),
    ("seed -1", grain(seed=-1), 2, ("node 'grain', seed", "out of range", f"from 0 to {SEED}")),
    ("seed 2^64", grain(seed=2**64), 2, ("node 'grain', seed", "out of range", f"from 0 to {SEED}")),
    ("seed 1.5", grain(seed=1.5), 2, ("node 'grain', seed", "1.5 is not a seed", "whole number")),
    ("seed abc", grain(seed="abc"), 2, ("node 'grain', seed", "'abc' is not a seed", "whole number")),
    ("seed true", grain(seed=True), 2, ("node 'grain', seed", "True is not a seed", "whole number")),
    ("seed with a space", grain(seed=" 7"), 2, ("is not a seed",)),
    ("seed in Arabic digits", grain(seed="\u0663"), 2, ("is not a seed",)),
    ("seed of 4000 digits", grain(seed=10**4000), 2, ("out of range",)),
    ("seed that is infinite", '{"name": "x", "nodes": {"a": {"type": "output", "seed": 1e999}}}', 2, ("1e999",)),
    ("workflow named ../../x", json.dumps({"name": "../../x", "nodes": {"in": REFERENCE}}), 2, ("is not a name",)),
    ("no name", json.dumps({"nodes": {"in": REFERENCE}}), 2, ("workflow, name", "needs text, not nothing")),
    ("no nodes", json.dumps({"name": "x", "nodes": {}}), 2, ("0 nodes",)),
    ("node id __proto__", nodes({"__proto__": REFERENCE}), 2, ("'__proto__' is not a node id", "Begin with a letter")),
    ("node id of 65 letters", nodes({"a" * 65: REFERENCE}), 2, ("is not a node id",)),
    ("node id with a newline", nodes({"a\n": REFERENCE}), 2, ("is not a node id",)),
    ("format of the future", nodes({"in": REFERENCE}, format=2), 2, ("format 2", "Upgrade Intaglio")),
    ("mode", nodes({"in": REFERENCE}, mode="test"), 2, ("neither discovery nor production",)),
    ("pin of no node", nodes({"in": REFERENCE}, pins={"on": {}}), 2, ("'on'", "not a node")),
    ("lone surrogate in a title", grain(title="\ud800"), 2, ("node 'grain', title", "half a character")),
    ("lone surrogate in a prompt", generation(prompt="a \udfff b"), 2, ("params.prompt", "position 2", "surrogate")),
    ("prompt of 5 MB", generation(prompt="x" * 5 * 2**20), 2, ("params.prompt", "the limit is 4194304")),
    ("prompt that is a number", generation(prompt=1984), 2, ("params.prompt", "needs text, not 1984")),
    ("scheduler", generation(scheduler="eulr_a"), 2, ("no scheduler 'eulr_a'", "Did you mean")),
    ("device", generation(device="toaster"), 2, ("params.device", "no device 'toaster'", "cuda:N")),
    ("choice", generation(dtype="float8"), 2, ("'float8' is not one of: float32",)),
    ("unknown model", generation(model="scenery"), 3, ("no model 'scenery'", "There are: scenes")),
    ("model without a name", generation(model=""), 3, ("no model ''",)),
    ("unknown model version", generation(model="scenes:v9"), 3, ("no model 'scenes:v9'",)),
    ("unknown model digest", generation(model="blake3:" + "0" * 64), 3, ("no model 'blake3:0000",)),
    ("too many pictures", nodes(
        {"base": {"type": "text-to-image", "params": {"model": "scenes", "prompt": ""}, "count": 10_000}}
        | {f"n{i}": {"type": "upscale", "inputs": {"image": "base"}} for i in range(20)}
    ), 2, ("more than 100000 pictures", "Lower the count")),
    ("production without a seed", nodes(document()["nodes"], mode="production"), 2, ("needs a seed on: grain",)),
]  # fmt: skip

BOMB = "a: &a [x,x,x]\nb: &b [*a,*a,*a]\nc: &c [*b,*b,*b]\nname: *c\n"
HEAD = "name: bad\nnodes:\n  in:\n    type: reference-image\n    params: "

# The same for YAML files.
YAML: list[Case] = [
    ("aliases", BOMB, 2, (":2:8: aliases", "write the value out")),
    ("key twice", "name: a\nname: b\n", 2, (":2:1: 'name' is there twice",)),
    ("node twice", "name: a\nnodes:\n  in: {type: output}\n  in: {type: output}\n", 2, (":4:3: 'in' is there twice",)),
    ("merge key", HEAD + "{<<: {image: a}}\n", 2, ("no parameter '<<'",)),
    ("100,000 brackets", "name: " + "[" * 100_000, 2, ("nested too deeply",)),
    ("100,000 braces", "name: " + "{a: " * 100_000, 2, ("nested too deeply",)),
    ("tab", "name: bad\nnodes:\n\tin: {}\n", 2, (":3:1:", "cannot start any token")),
    ("empty", "", 2, ("needs a mapping, not nothing",)),
    ("only a comment", "# later\n", 2, ("needs a mapping, not nothing",)),
    ("list", "- a\n- b\n", 2, ("needs a mapping, not a list",)),
    ("text", "hello\n", 2, ("needs a mapping, not text",)),
    ("two documents", "name: a\n---\nname: b\n", 2, (":2:1:",)),
    ("not a number", HEAD + "{image: .nan}\n", 2, ("params.image", "nan has no place")),
    ("infinity", HEAD + "{image: -.inf}\n", 2, ("params.image", "inf has no place")),
    ("number too large", HEAD + "{image: 1e999}\n", 2, ("inf has no place",)),
    ("number of 5000 digits", HEAD + "{image: " + "9" * 5000 + "}\n", 2, ("bad.yaml", "digits")),
    ("unquoted date", "name: 2026-11-20\nnodes:\n  in: {type: 2026-11-20}\n", 2, ("no node type '2026-11-20'",)),
    ("unquoted no", "name: no\nnodes:\n  in: {type: no}\n", 2, ("no node type 'no'",)),
    ("tagged date", HEAD + "{image: !!timestamp 2026-11-20}\n", 2, ("params.image", "put it in quotes")),
    ("tagged date that is none", HEAD + "{image: !!timestamp soon}\n", 2, (":5:21: this is no timestamp",)),
    ("tagged boolean that is none", HEAD + "{image: !!bool maybe}\n", 2, (":5:21: this is no bool",)),
    ("tagged bytes", HEAD + "{image: !!binary aGk=}\n", 2, ("bytes has no place",)),
    ("Python object", HEAD + "!!python/object/apply:os.system [ls]\n", 2, ("could not determine a constructor",)),
    ("list as a key", "? [a, b]\n: c\n", 2, (":1:3: a key must be text",)),
    ("number as a key", "name: bad\nnodes: {1: {type: output}}\n", 2, ("workflow, nodes", "key 1 is not text")),
    ("NUL", "name: a\0b\n", 2, ("special characters are not allowed",)),
    ("escape sequence", "name: \x1b]0;owned\x07\n", 2, ("special characters are not allowed",)),
    ("unclosed quote", 'name: "bad\n', 2, ("bad.yaml:2:1",)),
]

JSON: list[Case] = [
    ("NaN", '{"name": NaN}', 2, ("NaN has no place",)),
    ("infinity", '{"name": -Infinity}', 2, ("-Infinity has no place",)),
    ("key twice", '{"name": "a", "name": "b"}', 2, ("key 'name' is there twice",)),
    ("node twice", '{"name": "a", "nodes": {"b": {}, "b": {}}}', 2, ("key 'b' is there twice",)),
    ("100,000 brackets", "[" * 100_000, 2, ("not valid JSON",)),
    ("cut off", '{"name": "a', 2, ("not valid JSON",)),
    ("empty", "", 2, ("not valid JSON",)),
    ("list", "[]", 2, ("needs a mapping, not a list",)),
    ("number of 5000 digits", '{"name": ' + "9" * 5000 + "}", 2, ("not valid JSON", "digits")),
    ("comment", '{"name": "a"} // later', 2, ("not valid JSON",)),
]

# Arguments of the command, exit code, words. DONE is a finished task, FILE a picture, VERSION a version's digest.
COMMANDS: list[tuple[str, int, tuple[str, ...]]] = [
    ("nonsense", 2, ("No such command 'nonsense'", "Read: intaglio --help")),
    ("tasks nonsense", 2, ("No such command 'nonsense'", "Read: intaglio tasks --help")),
    ("tasks run", 2, ("Missing argument 'WORKFLOW'", "intaglio tasks run --help")),
    ("tasks list --limt 3", 2, ("No such option '--limt'", "--limit")),
    ("tasks list --limit 99999999999999999999999", 2, ("--limit", "1<=x<=1000")),
    ("tasks list --limit 0", 2, ("1<=x<=1000",)),
    ("tasks list --limit many", 2, ("'many' is not a valid integer",)),
    ("tasks list --status doing", 2, ("'doing' is not one of",)),
    ("tasks list --before nothing", 3, ("no task 'nothing'",)),
    ("tasks show nothing", 3, ("no task 'nothing'", "intaglio tasks list")),
    ("tasks show 2", 2, ("'2' fits", "Give more of the id")),
    ("tasks show %", 3, ("no task '%'",)),
    ("tasks resume DONE", 2, ("is done; only one that did not finish", "intaglio tasks run")),
    ("tasks resume nothing", 3, ("no task 'nothing'",)),
    ("tasks cancel DONE", 2, ("done",)),
    ("tasks run nothing", 3, ("no workflow 'nothing'", "There are: ")),
    ("tasks run nothing.yaml", 3, ("no workflow file 'nothing.yaml'",)),
    ("tasks run plain@9", 3, ("no workflow 'plain@9'",)),
    ("tasks run plain@x", 3, ("no workflow 'plain@x'", "NAME@3")),
    ("tasks run plain@99999999999999999999999999", 3, ("no workflow 'plain@999",)),
    ("tasks run ../../x", 3, ("no workflow '../../x'",)),
    ("tasks run LONG", 3, ("no workflow 'xxx",)),
    ("tasks run . ", 3, ("no workflow '.'",)),
    ("tasks run plain --set nothing.amount=1", 2, ("node 'nothing'", "The nodes are: grain, in, out")),
    ("tasks run plain --set grain.amuont=1", 2, ("no parameter 'amuont'", "Did you mean 'amount'")),
    ("tasks run plain --set grain.amount", 2, ("is not a setting", "node.parameter=value")),
    ("tasks run plain --set =1", 2, ("is not a setting",)),
    ("tasks run plain --set grain.=1", 2, ("no parameter ''",)),
    ("tasks run plain --set grain.amount=", 2, ("needs a number, not ''",)),
    ("tasks run plain --set grain.amount=.nan", 2, ("nan has no place",)),
    ("tasks run plain --set grain.amount=!!bool", 2, ("needs a number",)),
    ("tasks run plain --set grain.amount=LONG", 2, ("needs a number",)),
    ("tasks run plain --set grain.amount=9007199254740993", 2, ("node 'grain', params.amount", "out of range")),
    ("tasks run plain --set grain.seed=-1", 2, ("node 'grain', seed", "out of range")),
    ("tasks run plain --set grain.count=2", 2, ("takes no count",)),
    ("tasks run plain --set grain.amount=0.1 --set grain.amount=0.2", 2, ("grain.amount is set twice",)),
    ("tasks run plain --label !!! --annotation a", 2, ("label '!!!' has no letter or digit", "a word or two")),
    ("tasks run plain --label v7 --annotation a", 2, ("would be taken for a number",)),
    ("tasks run plain --label first --annotation a", 2, ("label 'first'", "v1-first")),
    ("tasks run plain --label new", 2, ("needs its reason", "--annotation TEXT", "--no-annotation")),
    ("tasks run plain --annotation a --no-annotation", 2, ("both asked for", "Give one of the two")),
    ("versions save DONE", 2, ("needs its reason", "--annotation TEXT")),
    ("versions save DONE --annotation a --no-annotation", 2, ("both asked for",)),
    ("versions save DONE --annotation a", 2, ("is a version already",)),
    ("versions save nothing --annotation a", 3, ("no task 'nothing'",)),
    ("versions show nothing", 3, ("no version 'nothing'", "intaglio versions list")),
    ("versions show v9", 3, ("no version 'v9'",)),
    ("versions show v99999999999999999999999", 3, ("no version 'v999",)),
    ("versions show other/v1", 3, ("no version 'other/v1'",)),
    ("versions show v1", 2, ("'v1' fits 2 versions", "Give workflow/version")),
    ("versions show first", 2, ("fits 2 versions: second/v1-first, plain/v1-first",)),
    ("versions show LONG", 3, ("no version 'xxx",)),
    ("versions show FILE", 3, ("no version",)),
    ("versions show .", 3, ("no version '.'",)),
    ("versions list --before nothing", 3, ("no version 'nothing'",)),
    ("versions grade nothing", 3, ("no version 'nothing'",)),
    ("versions grade VERSION --only nothing", 3, ("no step 'nothing'", "The steps are: in, grain, out")),
    ("versions reproduce nothing", 3, ("no version 'nothing'",)),
    ("versions reproduce VERSION --only grain[1]", 3, ("no step 'grain[1]'",)),
    ("versions export VERSION --to FILE", 2, ("is a file", "Write into a folder")),
    ("versions export VERSION --to occupied", 2, ("other content", "Write into an empty folder")),
    ("assets show nothing", 3, ("no asset 'nothing'",)),
    ("assets show blake3:", 3, ("no asset", "Give a digest")),
    ("assets show LONG", 3, ("no asset",)),
    ("assets show .", 3, ("no asset '.'",)),
    ("assets show blake3:%", 3, ("no asset",)),
    ("assets get nothing -o new.png", 3, ("no asset 'nothing'",)),
    ("assets get FILE", 2, ("Missing option '-o'",)),
    ("assets get FILE -o FILE", 2, ("is there already", "Name a file that is not there yet")),
    ("assets get FILE -o dangling", 2, ("is there already",)),
    ("assets get FILE -o .", 2, ("is there already",)),
    ("assets get FILE -o no/where.png", 2, ("cannot be written", "in a folder that is there")),
    ("assets get FILE -o LONG", 2, ("cannot be written", "too long")),
    ("assets get UPPER -o new.png", 3, ("no asset '", "as it was printed")),
    ("assets thumbnail nothing -o new.png", 3, ("no asset 'nothing'",)),
    ("assets thumbnail FILE", 2, ("Missing option '-o'",)),
    ("assets thumbnail FILE -o FILE", 2, ("is there already",)),
    ("assets thumbnail FILE -o no/where.png", 2, ("cannot be written", "in a folder that is there")),
    ("assets thumbnail FILE -o new.png --size 0", 2, ("of 0 pixels", "Give a size from 16 to 2048")),
    ("assets thumbnail FILE -o new.png --size -5", 2, ("of -5 pixels",)),
    ("assets thumbnail FILE -o new.png --frames 999999999999", 2, ("Give 1 to 64 frames",)),
    ("assets thumbnail FILE -o new.png --size big", 2, ("not a valid integer",)),
    ("assets add nothing.png", 3, ("no file 'nothing.png'",)),
    ("assets add words.png", 2, ("words.png: this is not a PNG", "Use a whole PNG")),
    ("assets add empty.png", 2, ("the file is empty",)),
    ("assets add folder.png", 2, ("folder.png",)),
    ("assets add pipe.png", 2, ("pipe.png is not a file",)),
    ("assets add loop.png", 2, ("loop.png is a link",)),
    ("assets add /dev/zero", 2, ("/dev/zero is not a file",)),
    ("assets add LONG", 2, ("cannot be read", "too long")),
    ("models add nothing --name a", 3, ("no model file 'nothing'",)),
    ("models add ~nobody0/x --name a", 2, ("is not a file name",)),
    ("models add folder.png --name a", 2, ("no model_index.json",)),
    ("models add words.png --name a", 2, ("words.png is no safetensors file",)),
    ("models add empty.png --name a", 2, ("is empty",)),
    ("models add words.png --name a:b", 2, ("'a:b' is not a name for a model",)),
    ("models add words.png --name latest", 2, ("is not a name for a model",)),
    ("models add words.png --name a --version latest", 2, ("is not a version for a model",)),
    ("models add pipe.png --name a", 3, ("no file or folder",)),
    ("models show nothing", 3, ("no model 'nothing'", "There are: scenes")),
    ("models show blake3:", 3, ("no model 'blake3:'", "intaglio models list")),
    ("models verify nothing", 3, ("no model 'nothing'",)),
    ("models verify", 2, ("name one MODEL or give --all",)),
    ("models verify scenes --all", 2, ("name one MODEL or give --all",)),
    ("models scan nowhere", 3, ("no folder",)),
    ("models scan words.png", 2, ("is not a folder",)),
    ("models watch nowhere", 3, ("no folder",)),
    ("models find nothing", 3, ("no model 'nothing'",)),
    ("models find E3B0C44298", 3, ("SHA-256 of nothing",)),
    ("models show sha256:e3b0c44298", 3, ("SHA-256 of nothing",)),
    ("models allow blake3:00 --name a", 3, ("no model file", "intaglio models scan")),
    ("nodes show film-grian", 3, ("no node type 'film-grian'", "Did you mean 'film-grain'")),
    ("nodes show film-grain@x", 3, ("no node type 'film-grain@x'",)),
    ("nodes show film-grain@999999999999999999999", 3, ("no node type",)),
    ("workflows show nothing", 3, ("no workflow 'nothing'",)),
    ("workflows add nothing.yaml", 3, ("no workflow file",)),
    ("workflows add folder.png", 2, ("folder.png is a folder",)),
    ("workflows add pipe.png", 2, ("pipe.png is not a file",)),
    ("workflows add loop.png", 2, ("loop.png cannot be read",)),
    ("workflows add /dev/zero", 2, ("/dev/zero is not a file",)),
    ("workflows add noise.yaml", 2, ("is not UTF-8 text (byte 0)",)),
    ("workflows add large.yaml", 2, ("has 52428800 bytes; a workflow has at most 8388608",)),
    ("--library FILE tasks list", 3, ("no library at", "intaglio init")),
    ("--library nowhere tasks list", 3, ("no library at", "intaglio init")),
    ("--library ~nobody0 tasks list", 2, ("is not a file name",)),
    ("init FILE", 4, ("while making the folder",)),
]
