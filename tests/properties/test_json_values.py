"""Readers of JSON files: a value of a wrong type at any place is an error of one line, or does not matter."""

import copy
import json

import pytest

from benchmarks.reliability.fuzz_targets import make_targets
from rotated_atss.errors import UserError

WRONG_VALUES = [None, True, -1, 2**70, 10**400, 1e400, "", "x" * 300, [], [[]], {}, {"a": []}]


@pytest.fixture(scope="module")
def targets(tmp_path_factory):
    return make_targets(tmp_path_factory.mktemp("targets"))


def places(value, path=()):
    """Yield the keys that lead to every value of a JSON document."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from places(item, (*path, key))


def replaced(document, path, value):
    if not path:
        return value
    changed = copy.deepcopy(document)
    parent = changed
    for key in path[:-1]:
        parent = parent[key]
    parent[path[-1]] = value
    return changed


def parse(seed):
    try:
        return json.loads(seed)
    except ValueError:
        return None


def run(target, content):
    """Run a reader and return the message of its error, which must be a UserError; empty without an error."""
    try:
        target.run(content)
    except UserError as error:
        return str(error)
    return ""


def test_values_of_wrong_types(targets):
    documents = {name: document for name, target in targets.items() if (document := parse(target.seeds[0])) is not None}
    assert {"format coco", "format labelme", "format labelstudio", "manifest", "model record"} <= documents.keys()
    for name, document in documents.items():
        for path in places(document):
            for value in WRONG_VALUES:
                message = run(targets[name], json.dumps(replaced(document, path, value)).encode())
                assert message.isprintable(), (name, path, value)
