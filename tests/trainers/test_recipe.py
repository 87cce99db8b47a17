"""Recipes: the reference's values, overrides, and errors that name the key."""

import pytest
import tomli_w

from ebmdiag.errors import EbmdiagError, RecipeError
from ebmdiag.registry import RECIPES, registered
from ebmdiag_trainers.recipe import load_recipe, recipe_from_tables

# start, net, epsilon, L, noise, optimizer, rate, decay, floor, iterations: the reference's recipes, written out again
REFERENCE = {
    "rings": ("persistent", "ToyNet", 0.125, 500, 0.0, "sgd", 0.1, 1.0, 0.0, 200_000),
    "rings-nonconvergent": ("gaussian", "ToyNet", 0.01, 100, 0.0, "adam", 1e-4, 1.0, 0.0, 100_000),
    "gmm": ("persistent", "ToyNet", 0.125, 500, 0.0, "sgd", 0.1, 1.0, 0.0, 200_000),
    "gmm-nonconvergent": ("gaussian", "ToyNet", 0.01, 100, 0.0, "adam", 1e-4, 1.0, 0.0, 100_000),
    "flowers": ("uniform", "VanillaNet", 0.01, 150, 0.03, "adam", 1e-4, 1.0, 0.0, 100_000),
    "flowers-convergent": ("persistent", "NonlocalNet", 0.0075, 500, 0.015, "sgd", 0.1, 0.99995, 0.0005, 200_000),
    "mnist": ("persistent", "NonlocalNet", 0.0075, 500, 0.015, "sgd", 0.01, 1.0, 0.0, 200_000),
    "cifar10": ("uniform", "VanillaNet", 0.01, 150, 0.03, "adam", 1e-4, 1.0, 0.0, 100_000),
    "cifar10-oscillating": ("persistent", "VanillaNet", 0.01, 500, 0.03, "adam", 1e-4, 1.0, 0.0, 100_000),
}


def test_all_nine_are_registered():
    assert set(registered(RECIPES)) >= set(REFERENCE)


@pytest.mark.parametrize("name", REFERENCE)
def test_values_of_the_reference(name):
    recipe = load_recipe(name)
    langevin, optimizer = recipe.langevin, recipe.optimizer
    found = (
        langevin.start,
        recipe.net.factory,
        langevin.epsilon,
        langevin.steps,
        recipe.data.noise,
        optimizer.name,
        optimizer.learning_rate,
        optimizer.decay,
        optimizer.floor,
        recipe.training.iterations,
    )
    assert found == REFERENCE[name]
    assert recipe.training.batch == 100
    assert (recipe.langevin.bank == 10_000) == (name in ("rings", "gmm"))


def test_starting_noise_and_output_names():
    assert load_recipe("rings-nonconvergent").langevin.scale == 2.0
    assert load_recipe("gmm-nonconvergent").langevin.scale == 1.0
    outputs = {name: load_recipe(name).training.output for name in ("rings", "flowers", "flowers-convergent")}
    assert outputs == {"rings": "sec4_1", "flowers": "sec4_2", "flowers-convergent": "sec4_3"}


@pytest.mark.parametrize("name", REFERENCE)
def test_a_resolved_recipe_reads_back_as_itself(name, tmp_path):
    recipe = load_recipe(name, ["langevin.steps=7"])
    path = tmp_path / "again.toml"
    path.write_bytes(tomli_w.dumps(recipe.to_tables()).encode())
    assert load_recipe(str(path)) == recipe


def test_settings_take_toml_values_and_plain_words():
    recipe = load_recipe("mnist", ["data.path=some folder/x", "optimizer.momentum=.5", "net.width=16"])
    assert recipe.data.path == "some folder/x"
    assert recipe.optimizer.momentum == 0.5
    assert recipe.net.arguments == {"channels": 1, "width": 16}


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("langevin.stepz=1", r"\[langevin\] unknown key 'stepz'; did you mean 'steps'\?"),
        ("langvin.steps=1", r"unknown table \[langvin\]; did you mean 'langevin'\?"),
        ("langevin.steps=0", "steps must be at least 1, but is 0"),
        ("langevin.steps=1.5", "steps must be a whole number, but is 1.5"),
        ("langevin.steps=true", "steps must be a whole number, but is True"),
        ("langevin.epsilon=nan", "epsilon must be finite"),
        ("langevin.epsilon=-1", "epsilon must be at least 0"),
        ("langevin.start=here", "start must be one of persistent, data, uniform, gaussian"),
        ("langevin.bank=10", r"bank must hold at least one batch \(100\), but holds 10"),
        ("optimizer.floor=1", "floor must not exceed learning_rate"),
        ("optimizer.beta1=0.5", "beta1 and beta2 belong to adam"),
        ("training.output=../x", "must be a plain file stem"),
        ("steps", "--set takes table.key=value"),
    ],
)
def test_bad_settings(setting, message):
    with pytest.raises(RecipeError, match=message) as caught:
        load_recipe("rings", [setting])
    assert caught.value.exit_code == 2


def test_bad_recipes(tmp_path):
    with pytest.raises(RecipeError, match="unknown recipe 'ringz'; did you mean 'rings'"):
        load_recipe("ringz")
    with pytest.raises(EbmdiagError, match="No such file") as caught:
        load_recipe(str(tmp_path / "absent.toml"))
    assert caught.value.exit_code == 3
    broken = tmp_path / "broken.toml"
    broken.write_text("[training\n")
    with pytest.raises(RecipeError, match="not valid TOML"):
        load_recipe(str(broken))
    with pytest.raises(RecipeError, match=r"\[training\] the key 'iterations' is missing"):
        recipe_from_tables({}, "x")
    with pytest.raises(RecipeError, match=r"\[data\] must be a table"):
        recipe_from_tables({"training": {"iterations": 1}, "data": 3}, "x")
    with pytest.raises(RecipeError, match="momentum belongs to sgd"):
        load_recipe("flowers", ["optimizer.momentum=0.9"])
    with pytest.raises(RecipeError, match="bank belongs to start"):
        load_recipe("flowers", ["langevin.bank=100"])
