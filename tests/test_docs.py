"""What the documentation says is there."""

import re
from pathlib import Path

import pytest

from ebmdiag.cli.main import call, main
from ebmdiag.registry import RECIPES, registered

ROOT = Path(__file__).parent.parent
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]


def test_every_command_is_in_the_readme():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    missing = [name for name in main.list_commands(None) if not re.search(rf"`(ebmdiag )?{name}\b", text)]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    local = [link for link in links if "://" not in link]
    assert [link for link in local if not (page.parent / link).exists()] == []


def test_every_command_and_recipe_explains_itself(capsys):
    for name in main.list_commands(None):
        assert call([name, "--help"]) == 0
        assert len(capsys.readouterr().out) > 200
    assert call(["recipes", "list"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in registered(RECIPES))


def test_commands_in_the_readme_parse():
    """Each `ebmdiag …` line of a shell block: the command exists and knows the options."""
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.S)
    lines = [line.split("#")[0].split() for block in blocks for line in block.splitlines()]
    commands = [words[1:] for words in lines if words and words[0] == "ebmdiag"]
    assert len(commands) >= 5
    for name, *rest in commands:
        command = main.get_command(None, name)
        known = {option for parameter in command.params for option in parameter.opts}
        assert {word.split("=")[0] for word in rest if word.startswith("-")} <= known
