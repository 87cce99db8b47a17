"""Downloads against a mirror on this machine: right, wrong, broken off, refused, absent."""

import gzip
import hashlib
import http.server
import io
import json
import socket
import struct
import subprocess
import sys
import threading

import pytest

from ebmdiag.cli.main import call
from ebmdiag.errors import DataError, UsageError
from ebmdiag_trainers.data import SOURCES, load_dataset
from ebmdiag_trainers.data import download as download_module
from ebmdiag_trainers.data.download import expected_file, fetch, is_there
from ebmdiag_trainers.data.progress import share_bar
from ebmdiag_trainers.data.sources import Download, Source, downloadable

CONTENT = gzip.compress(bytes([0, 0, 8, 3]) + struct.pack(">3I", 3, 28, 28) + bytes(range(196)) * 12, mtime=0)
MD5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT: whole, cut under /short/, without its length under /unmeasured/, not at all under /gone/."""

    def do_GET(self):
        self.server.asked.append(self.path)
        if self.path == "/gone/digits.gz":
            self.send_error(404)
            return
        self.send_response(200)
        if self.path != "/unmeasured/digits.gz":
            self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT[:-30] if self.path.startswith("/short/") else CONTENT)

    def log_message(self, *arguments):
        """Nothing on the terminal."""


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.asked = []
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def mirror(server, monkeypatch):
    """Put the mirror's file in the place of MNIST's."""

    def mirror(path="/digits.gz", md5=MD5, port=server.server_port):
        url = f"http://127.0.0.1:{port}{path}"
        monkeypatch.setitem(SOURCES, "mnist", Source(1, Download(url, md5, "about 1 kB", 3)))
        return url

    return mirror


def unused_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_a_file_with_the_right_hash_is_kept_and_fetched_once(server, mirror, tmp_path, capfd):
    mirror()
    digits = load_dataset("mnist", cache=tmp_path, progress=True)
    assert digits.images.shape == (3, 1, 32, 32)
    assert fetch("mnist", tmp_path).read_bytes() == CONTENT
    assert load_dataset("mnist", cache=tmp_path).size == 3
    assert server.asked == ["/digits.gz"]
    assert [file.name for file in (tmp_path / "downloads").iterdir()] == ["digits.gz"]
    assert capfd.readouterr() == ("", "")


def test_a_file_put_there_by_hand_is_used(server, mirror, tmp_path):
    mirror(port=unused_port())
    file = expected_file("mnist", tmp_path)
    file.parent.mkdir(parents=True)
    file.write_bytes(CONTENT)
    assert load_dataset("mnist", cache=tmp_path).size == 3


def test_a_damaged_file_in_the_cache_is_replaced(server, mirror, tmp_path):
    mirror()
    file = expected_file("mnist", tmp_path)
    file.parent.mkdir(parents=True)
    file.write_bytes(CONTENT[:-1])
    assert not is_there("mnist", tmp_path)
    assert load_dataset("mnist", cache=tmp_path).size == 3
    assert is_there("mnist", tmp_path)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"md5": "0" * 32}, "what came has another md5, and was deleted"),
        ({"path": "/gone/digits.gz"}, "the server answered 404 Not Found"),
        ({"path": "/short/digits.gz"}, "the transfer broke off"),
        ({"port": unused_port()}, "no connection to the server"),
    ],
    ids=["hash", "404", "short", "refused"],
)
def test_a_failure_says_what_to_fetch_and_where_to_put_it(server, mirror, tmp_path, options, reason):
    url = mirror(**options)
    with pytest.raises(DataError) as caught:
        load_dataset("mnist", cache=tmp_path)
    message = str(caught.value)
    assert caught.value.exit_code == 3
    assert reason in message
    for part in (url, options.get("md5", MD5), "about 1 kB", str(expected_file("mnist", tmp_path)), "--data PATH"):
        assert part in message
    assert "\n" not in message
    assert list((tmp_path / "downloads").iterdir()) == []


def test_a_cache_that_cannot_be_written_is_a_sentence(server, mirror, tmp_path):
    mirror()
    (tmp_path / "cache").write_text("a file in the way")
    with pytest.raises(DataError, match=r"'mnist' cannot be downloaded: cannot write .*cache.* put it at"):
        load_dataset("mnist", cache=tmp_path / "cache")


def test_the_official_table_has_an_address_and_an_md5_for_each():
    for name in ("flowers", "mnist", "cifar10"):
        official = downloadable(name)
        assert official.url.startswith("https://")
        assert len(bytes.fromhex(official.md5)) == 16
    assert downloadable("flowers").file_name == "102flowers.tgz"
    with pytest.raises(UsageError, match="'rings' is a density and needs no file; files exist for flowers, mnist"):
        downloadable("rings")
    with pytest.raises(UsageError, match="'images' is your own and is given with --data PATH"):
        downloadable("images")


class Terminal(io.StringIO):
    """A screen that can be read afterwards."""

    def isatty(self):
        return True


def test_a_terminal_sees_bars_for_both_steps(server, mirror, tmp_path, monkeypatch):
    mirror()
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    fetch("mnist", tmp_path, progress=True)
    assert "fetching digits.gz" in screen.getvalue()
    assert "100%" in screen.getvalue()
    with share_bar("preparing", True) as advance:
        advance(0.5)
        assert "50%" in screen.getvalue()
        advance(1.0)
    assert screen.getvalue().endswith("\n")


def test_a_terminal_keeps_its_line_after_a_failure(server, mirror, tmp_path, monkeypatch):
    mirror("/short/digits.gz")
    monkeypatch.setattr(download_module, "_CHUNK", 16)  # the file is small: several pieces, so that a bar is begun
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    with pytest.raises(DataError):
        fetch("mnist", tmp_path, progress=True)
    assert "fetching digits.gz" in screen.getvalue()
    assert screen.getvalue().endswith("\n")


def test_a_server_that_hides_the_length_is_no_trouble(server, mirror, tmp_path, monkeypatch):
    mirror("/unmeasured/digits.gz")
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    assert fetch("mnist", tmp_path, progress=True).read_bytes() == CONTENT
    assert screen.getvalue().count("\n") == 1


class TestCommand:
    """``ebmdiag data`` against the mirror."""

    @pytest.fixture(autouse=True)
    def _place(self, server, mirror, workplace):
        mirror()
        self.cache = workplace / "cache"

    def test_fetch_says_where_and_how_many(self, capsys):
        assert call(["data", "fetch", "mnist"]) == 0
        captured = capsys.readouterr()
        assert captured.out == f"{self.cache}/downloads/digits.gz: 3 images, prepared as 1x32x32.\n"
        assert captured.err == ""

    def test_fetch_as_json(self, capsys):
        assert call(["data", "fetch", "mnist", "--json"]) == 0
        facts = json.loads(capsys.readouterr().out)
        assert facts == {
            "name": "mnist",
            "images": 3,
            "shape": [1, 32, 32],
            "file": f"{self.cache}/downloads/digits.gz",
        }

    def test_path_alone_is_the_cache(self, capsys):
        assert call(["data", "path"]) == 0
        assert capsys.readouterr().out == f"{self.cache}\n"
        assert call(["data", "path", "--json"]) == 0
        assert f'"cache": "{self.cache}"' in capsys.readouterr().out

    def test_path_of_a_name_tells_absent_damaged_and_present(self, capsys):
        file = self.cache / "downloads" / "digits.gz"
        assert call(["data", "path", "mnist"]) == 0
        absent = capsys.readouterr()
        assert absent.out == f"{file}\n"
        assert "not there; 'ebmdiag data fetch mnist' downloads it" in absent.err
        file.parent.mkdir(parents=True)
        file.write_bytes(b"words")
        assert call(["data", "path", "mnist"]) == 0
        assert "its md5 is wrong" in capsys.readouterr().err
        file.write_bytes(CONTENT)
        assert call(["data", "path", "mnist"]) == 0
        assert "its md5 is right" in capsys.readouterr().err
        assert call(["data", "path", "mnist", "--json"]) == 0
        assert '"there": true' in capsys.readouterr().out

    @pytest.mark.parametrize("verb", ["fetch", "path"])
    @pytest.mark.parametrize(("name", "words"), [("mnits", "did you mean 'mnist'?"), ("gmm", "needs no file")])
    def test_a_wrong_name_is_wrong_usage(self, capsys, verb, name, words):
        assert call(["data", verb, name]) == 2
        assert words in capsys.readouterr().err

    def test_a_failed_download_is_bad_input(self, mirror, capsys):
        mirror("/gone/digits.gz")
        assert call(["data", "fetch", "mnist"]) == 3
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.startswith("ebmdiag: 'mnist' cannot be downloaded: the server answered 404")


def test_the_command_is_light_until_it_runs():
    program = (
        "import sys; import ebmdiag_trainers.commands.data\n"
        "heavy = {'torch', 'numpy', 'PIL', 'pooch', 'requests'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
