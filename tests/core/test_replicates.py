"""Which runs are one recipe with another seed."""

from pathlib import Path

import pytest

from ebmdiag.errors import UsageError
from ebmdiag.metadata import TraceMetadata
from ebmdiag.names import distinct
from ebmdiag.replicates import groups, repeated


def fact(name, seed=0, folder=".", **recipe):
    tables = {
        "training": {"seed": seed, "iterations": 10, "output": name},
        "optimizer": {"learning_rate": 0.1},
    }
    for key, value in recipe.items():
        table, _, rest = key.partition("__")
        tables.setdefault(table, {})[rest] = value
    facts = TraceMetadata.create(epsilon=0.1, producer="test", recipe=tables, seed=seed)
    return name, facts, Path(folder) / f"{name}.parquet"


def bare(name, folder="."):
    return name, TraceMetadata.create(epsilon=0.1, producer="test"), Path(folder) / f"{name}.parquet"


def told(found):
    return {group.label: group.members for group in found}


def test_seeds_of_one_recipe_are_one_group():
    found = groups([fact("a", 1), fact("b", 2), fact("c", 3)])
    assert told(found) == {"all runs": (0, 1, 2)}


def test_a_group_is_named_after_what_differs():
    runs = [fact("a", 1), fact("b", 1, optimizer__learning_rate=0.3), fact("c", 2)]
    assert told(groups(runs)) == {"learning_rate 0.1": (0, 2), "learning_rate 0.3": (1,)}
    assert groups(runs)[1].differs == {"optimizer.learning_rate": 0.3}


@pytest.mark.parametrize(
    "same",
    [
        {"training__iterations": 99},
        {"trace__flush_rows": 3},
        {"data__path": "elsewhere.tgz"},
        {"langevin__engine": "fused"},
        {"long_run__every": 100},
    ],
)
def test_what_learns_nothing_makes_no_group(same):
    assert len(groups([fact("a", 1), fact("b", 2, **same)])) == 1


@pytest.mark.parametrize("other", [{"langevin__steps": 50}, {"langevin__precision": "bfloat16"}, {"data__noise": 0.1}])
def test_what_learns_something_does(other):
    assert len(groups([fact("a", 1), fact("b", 2, **other)])) == 2


def test_names_stand_where_many_keys_differ():
    other = fact("b", 1, optimizer__learning_rate=0.3, langevin__steps=5, langevin__scale=2.0, data__noise=0.1)
    first = fact("a", 1)
    assert list(told(groups([first, other]))) == ["a", "b"]
    first[1].recipe["name"], other[1].recipe["name"] = "rings", "mine"
    assert list(told(groups([first, other]))) == ["rings", "mine"]


def test_runs_that_tell_no_recipe_stand_alone_unless_their_folder_counts():
    runs = [bare("s1", "adam"), bare("s2", "adam"), bare("s1", "sgd")]
    assert [group.members for group in groups(runs)] == [(0,), (1,), (2,)]
    assert told(groups(runs, "folder")) == {"adam": (0, 1), "sgd": (2,)}


def test_by_a_key_and_by_run():
    runs = [fact("a", 1, optimizer__name="adam"), fact("b", 2, optimizer__name="sgd", langevin__steps=5)]
    assert told(groups(runs, "optimizer.name")) == {"adam": (0,), "sgd": (1,)}
    assert told(groups(runs, "training.seed")) == {"seed 1": (0,), "seed 2": (1,)}
    assert [group.label for group in groups(runs, "run")] == ["a", "b"]


def test_a_key_that_is_not_there_is_named_with_the_nearest():
    with pytest.raises(UsageError, match=r"no such key; did you mean 'optimizer.learning_rate'"):
        groups([fact("a"), fact("b")], "optimizer.learningrate")


def test_labels_differ_even_where_names_do_not():
    long = "x" * 60
    runs = [fact("a", 1, net__factory=f"{long}:A"), fact("b", 1, net__factory=f"{long}:B")]
    labels = [group.label for group in groups(runs)]
    assert len(set(labels)) == 2
    assert all(len(label) < 50 for label in labels)


def test_one_recipe_and_one_seed_twice_is_one_run():
    assert repeated([fact("a", 1), fact("b", 2), fact("c", 1, trace__flush_rows=3)]) == [[0, 2]]


@pytest.mark.parametrize(
    "runs",
    [
        [fact("a", 1), fact("b", 1, optimizer__learning_rate=0.3)],
        [fact("a", 1), fact("b", 1, data__seed=7)],
        [fact("a", None), fact("b", None)],
        [bare("a"), bare("b")],
    ],
    ids=["another recipe", "another seed elsewhere", "no seed", "no recipe"],
)
def test_what_is_not_known_to_be_one_run_is_two(runs):
    assert repeated(runs) == []


def test_numbers_and_absent_keys_are_what_they_mean():
    """1 is 1.0, null is absent, and a key with a point in it is not a table."""
    assert len(groups([fact("a", 1, langevin__scale=1), fact("b", 2, langevin__scale=1.0)])) == 1
    assert len(groups([fact("a", 1, langevin__scale=None), fact("b", 2)])) == 1
    one, two = (
        TraceMetadata.create(epsilon=0.1, producer="test", recipe=recipe)
        for recipe in ({"a.b": 1.0, "a": {"b": 2.0}}, {"a.b": 2.0, "a": {"b": 1.0}})
    )
    assert len(groups([("x", one, Path("x")), ("y", two, Path("y"))])) == 2


def test_the_recipes_own_name_makes_no_group_but_a_table_of_that_key_does():
    first, second = fact("a", 1), fact("b", 2)
    first[1].recipe["name"], second[1].recipe["name"] = "mine", "copied"
    assert len(groups([first, second])) == 1
    assert len(groups([fact("a", 1, optimizer__name="adam"), fact("b", 2, optimizer__name="sgd")])) == 2


def test_labels_are_printable():
    labels = [
        group.label for group in groups([fact("a", 1, net__factory="x\x1b[31m"), fact("b", 1, net__factory="y\n")])
    ]
    assert labels == ["x?[31m", "y?"]


def test_names_of_traces_are_told_apart_by_their_folders(tmp_path):
    paths = [tmp_path / "one" / "t", tmp_path / "two" / "t", tmp_path / "u"]
    assert distinct(paths) == ["one/t", "two/t", "u"]
    assert distinct([tmp_path / a / "runs" / "rings" for a in ("adam0.1", "sgd")]) == [
        "adam0.1/runs/rings",
        "sgd/runs/rings",
    ]
    assert distinct([tmp_path / "t", tmp_path / "t"]) == ["t", "t"]


def test_how_a_log_was_imported_is_no_recipe():
    logs = [
        (
            name,
            TraceMetadata.create(epsilon=0.1, producer="ebmdiag import", recipe={"import": {"file": "log.csv"}}),
            Path(name),
        )
        for name in ("a", "b")
    ]
    assert [group.label for group in groups(logs)] == ["a", "b"]
    assert repeated(logs) == []
