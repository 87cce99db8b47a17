"""From a source's name to a data set: errors of use, batches, the cache, and the real data."""

import errno
import io
import os
import subprocess
import sys
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image

from ebmdiag.errors import DataError, UsageError
from ebmdiag_trainers.data import EightGaussians, ImageSet, Rings, load_dataset
from ebmdiag_trainers.data import loading as loading_module
from ebmdiag_trainers.data.cache import cache_folder, save_prepared
from ebmdiag_trainers.data.preprocessing import decode


def png(seed, side=40):
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


PICTURES = {f"{seed:02d}.png": png(seed) for seed in range(6)}


@pytest.fixture
def folder(tmp_path):
    """A folder of six pictures; the cache is beside it."""
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for name, content in PICTURES.items():
        (pictures / name).write_bytes(content)
    return pictures


@pytest.fixture
def load(tmp_path):
    def load(path, source="images", **options):
        return load_dataset(source, path=path, cache=tmp_path / "cache", **options)

    return load


@pytest.fixture
def decodes(monkeypatch):
    """Every picture decoded, by name, so that a start from the cache can be told."""
    seen = []

    def counted(content, channels, where):
        seen.append(where)
        return decode(content, channels, where)

    monkeypatch.setattr(loading_module, "decode", counted)
    return seen


def prepared(tmp_path):
    return sorted((tmp_path / "cache" / "prepared").iterdir())


class TestUse:
    """What may be asked for, and what is said of the rest."""

    def test_the_densities_need_nothing(self):
        assert load_dataset("rings") == Rings()
        assert load_dataset("gmm") == EightGaussians()

    def test_an_unknown_source_is_refused_with_the_nearest(self):
        with pytest.raises(UsageError, match=r"unknown data source 'flower'; did you mean 'flowers'\? Known: rings,"):
            load_dataset("flower")

    @pytest.mark.parametrize("source", ["rings", "gmm"])
    def test_a_density_takes_neither_path_nor_channels(self, source, tmp_path):
        with pytest.raises(UsageError, match="is a density and reads no file"):
            load_dataset(source, path=tmp_path)
        with pytest.raises(UsageError, match="drop channels = 3"):
            load_dataset(source, channels=3)

    def test_images_need_a_path(self):
        with pytest.raises(UsageError, match="name it with --data PATH"):
            load_dataset("images")

    @pytest.mark.parametrize("channels", [0, 2, 4])
    def test_other_channels_are_refused(self, load, folder, channels):
        with pytest.raises(UsageError, match=f"must be 1 .* or 3 .*, but is {channels}"):
            load(folder, channels=channels)

    @pytest.mark.parametrize("source", ["flowers", "mnist", "cifar10", "images"])
    def test_a_missing_path_is_bad_input(self, load, tmp_path, source):
        with pytest.raises(DataError, match="nowhere does not exist") as caught:
            load(tmp_path / "nowhere", source)
        assert caught.value.exit_code == 3

    def test_a_pipe_is_refused_rather_than_waited_for(self, load, tmp_path):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(DataError, match="neither a file nor a folder"):
            load(tmp_path / "pipe")

    @pytest.mark.parametrize("names", [[], ["words.txt"]])
    def test_a_folder_without_images_is_refused(self, load, tmp_path, names):
        (tmp_path / "empty").mkdir()
        for name in names:
            (tmp_path / "empty" / name).write_text("words")
        with pytest.raises(DataError, match="empty holds no images"):
            load(tmp_path / "empty")

    def test_an_archive_without_images_is_refused(self, load, tmp_path):
        with tarfile.open(tmp_path / "empty.tgz", "w:gz"):
            pass
        with pytest.raises(DataError, match=r"empty\.tgz holds no images"):
            load(tmp_path / "empty.tgz", "flowers")

    def test_a_bad_picture_is_named_and_nothing_is_kept(self, load, folder, tmp_path):
        (folder / "03.png").write_bytes(PICTURES["03.png"][:500])
        with pytest.raises(DataError, match=r"pictures: 03\.png is not a readable image"):
            load(folder)
        assert not (tmp_path / "cache").exists()


class TestBatches:
    """The images in memory, and what is drawn from them."""

    def test_pictures_are_in_the_order_of_their_names(self, load, folder):
        dataset = load(folder)
        assert isinstance(dataset, ImageSet)
        assert (dataset.name, dataset.size, dataset.shape) == ("images", 6, (3, 32, 32))
        truth = np.stack([decode(PICTURES[name], 3, name) for name in sorted(PICTURES)])
        assert (dataset.images.numpy() == truth).all()

    def test_an_archive_in_any_order_gives_the_same_images(self, load, folder, tmp_path):
        with tarfile.open(tmp_path / "flowers.tgz", "w:gz") as archive:
            for name in sorted(PICTURES, reverse=True):
                archive.add(folder / name, f"jpg/{name}")
        flowers = load(tmp_path / "flowers.tgz", "flowers")
        assert torch.equal(flowers.images, load(folder, "flowers").images)

    def test_channels_are_converted(self, load, folder):
        grey = load(folder, channels=1)
        assert grey.shape == (1, 32, 32)
        assert (grey.images[0].numpy() == decode(PICTURES["00.png"], 1, "here")).all()

    def test_an_array_can_stand_for_any_source_of_images(self, load, tmp_path):
        pixels = np.random.default_rng(0).integers(0, 256, (4, 32, 32), dtype=np.uint8)
        np.savez(tmp_path / "digits.npz", pixels)
        digits = load(tmp_path / "digits.npz", "mnist")
        assert (digits.images[:, 0].numpy() == pixels).all()

    def test_a_batch_is_scaled_and_without_replacement(self, load, folder):
        dataset = load(folder)
        batch = dataset.draw(6, torch.Generator().manual_seed(0))
        assert batch.dtype == torch.float32
        assert batch.shape == (6, 3, 32, 32)
        order = torch.randperm(6, generator=torch.Generator().manual_seed(0))
        assert not torch.equal(order, torch.arange(6))
        assert torch.allclose(batch, dataset.images[order].float() / 127.5 - 1, atol=1e-7)

    def test_black_is_minus_one_and_white_is_one(self):
        dataset = ImageSet("images", torch.tensor([0, 255], dtype=torch.uint8).repeat(1, 1, 32, 16))
        assert set(dataset.draw(1, torch.Generator()).unique().tolist()) == {-1.0, 1.0}

    def test_the_generator_alone_decides(self, load, folder):
        dataset = load(folder)
        one, other = torch.Generator().manual_seed(5), torch.Generator().manual_seed(5)
        before = torch.get_rng_state()
        assert torch.equal(dataset.draw(3, one), dataset.draw(3, other))
        assert torch.equal(one.get_state(), other.get_state())
        assert torch.equal(before, torch.get_rng_state())

    @pytest.mark.parametrize("count", [-1, 7])
    def test_more_than_there_is_is_refused(self, load, folder, count):
        with pytest.raises(UsageError, match=f"has 6 images, so a batch of {count} cannot be drawn"):
            load(folder).draw(count, torch.Generator())


class TestCache:
    """Prepared once, kept whole, never trusted blindly."""

    def test_the_second_start_decodes_nothing(self, load, folder, decodes, tmp_path):
        first = load(folder)
        assert len(decodes) == 6
        second = load(folder)
        assert len(decodes) == 6
        assert torch.equal(first.images, second.images)
        assert first.fingerprint == second.fingerprint
        assert len(prepared(tmp_path)) == 1

    def test_other_channels_or_content_are_prepared_anew(self, load, folder, decodes, tmp_path):
        colour = load(folder)
        grey = load(folder, channels=1)
        assert len(decodes) == 12
        (folder / "00.png").write_bytes(png(99))
        changed = load(folder)
        assert len(decodes) == 18
        assert not torch.equal(changed.images[0], colour.images[0])
        assert len({colour.fingerprint, grey.fingerprint, changed.fingerprint}) == 3
        assert len(prepared(tmp_path)) == 3

    def test_a_touched_archive_is_known_by_its_content(self, load, folder, decodes, tmp_path):
        archive = tmp_path / "pictures.tar"
        with tarfile.open(archive, "w") as packed:
            packed.add(folder, "jpg")
        load(archive)
        os.utime(archive, (1, 1))
        load(archive.rename(tmp_path / "renamed.tar"))
        assert len(decodes) == 6

    @pytest.mark.parametrize(
        "damage",
        [
            lambda content: b"",
            lambda content: content[:20],
            lambda content: content[:-1],
            lambda content: content + b"x",
            lambda content: content[:5000] + bytes([content[5000] ^ 1]) + content[5001:],
            lambda content: b"\x93NUMPY" + bytes(200),
        ],
        ids=["empty", "short", "cut", "longer", "one bit", "header"],
    )
    def test_a_damaged_file_is_made_anew_with_a_note(self, load, folder, decodes, tmp_path, capsys, damage):
        truth = load(folder).images
        (kept,) = prepared(tmp_path)
        good = kept.read_bytes()
        kept.write_bytes(damage(good))
        assert torch.equal(load(folder).images, truth)
        assert len(decodes) == 12
        assert kept.read_bytes() == good
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.count("cannot be used") == captured.err.count("\n") == 1

    @pytest.mark.parametrize("array", [np.zeros((6, 1, 32, 32), np.uint8), np.zeros((6, 3, 32, 32), np.float32)])
    def test_a_whole_file_with_another_array_is_made_anew(self, load, folder, decodes, tmp_path, capsys, array):
        truth = load(folder).images
        (kept,) = prepared(tmp_path)
        save_prepared(kept, array)
        assert torch.equal(load(folder).images, truth)
        assert "cannot be used (it holds" in capsys.readouterr().err

    def test_without_a_place_to_keep_them_the_images_are_used_all_the_same(self, load, folder, tmp_path, capsys):
        (tmp_path / "cache").write_text("a file in the way")
        assert load(folder).size == 6
        captured = capsys.readouterr().err
        assert captured.count("\n") == 1
        assert "cannot be kept" in captured
        assert "set EBMDIAG_CACHE" in captured

    def test_a_full_disk_is_noted_and_leaves_no_half_file(self, load, folder, tmp_path, capsys, monkeypatch):
        def full(handle, *rest, **options):
            handle.write(b"half a file")
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(np, "save", full)
        assert load(folder).size == 6
        assert "cannot be kept" in capsys.readouterr().err
        assert prepared(tmp_path) == []

    def test_the_environment_moves_the_cache(self, monkeypatch, tmp_path, folder):
        monkeypatch.setenv("EBMDIAG_CACHE", str(tmp_path / "elsewhere"))
        assert cache_folder() == tmp_path / "elsewhere"
        load_dataset("images", path=folder)
        assert len(list((tmp_path / "elsewhere" / "prepared").iterdir())) == 1
        monkeypatch.delenv("EBMDIAG_CACHE")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
        assert cache_folder().name == "ebmdiag"

    def test_two_processes_at_once_do_not_break_each_other(self, load, folder, tmp_path, decodes):
        program = (
            "import sys; from pathlib import Path; from ebmdiag_trainers.data import load_dataset\n"
            "for i in range(20):\n"
            "    data = load_dataset('images', path=Path(sys.argv[1]), cache=Path(sys.argv[2]))\n"
            "    assert data.size == 6\n"
            "    for kept in Path(sys.argv[2], 'prepared').glob('images-*'): kept.unlink(missing_ok=True)\n"
            "load_dataset('images', path=Path(sys.argv[1]), cache=Path(sys.argv[2]))\n"
        )
        command = [sys.executable, "-c", program, str(folder), str(tmp_path / "cache")]
        running = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
        noise = [process.communicate(timeout=120)[1] for process in running]
        assert [process.returncode for process in running] == [0, 0]
        assert noise == ["", ""]
        assert load(folder).size == 6
        assert decodes == []
        assert len(prepared(tmp_path)) == 1


class TestRealData:
    """The files that users have."""

    @pytest.mark.slow
    def test_all_flowers_are_prepared_once(self, test_data, load, decodes):
        archive = test_data / "data" / "102flowers.tgz"
        flowers = load(archive, "flowers")
        assert flowers.images.shape == (8189, 3, 32, 32)
        assert len(decodes) == 8189
        assert torch.equal(load(archive, "flowers").images, flowers.images)
        assert len(decodes) == 8189
        batch = flowers.draw(100, torch.Generator().manual_seed(0))
        assert -0.5 < batch.mean() < 0  # flowers on dark leaves
        assert 0.4 < batch.std() < 0.8

    def test_the_idx_folder_is_read_whole_and_upright(self, test_data, load):
        """The folder is in MNIST's format, but its pictures are of other things: nothing is said about digits."""
        pictures = load(test_data / "data" / "mnist-mini", "mnist")
        assert pictures.images.shape == (1836, 1, 32, 32)
        content = (test_data / "data" / "mnist-mini" / "train-images-idx3-ubyte").read_bytes()
        raw = np.frombuffer(content[16:], np.uint8).reshape(1836, 28, 28).astype(float)
        found = pictures.images[:, 0].numpy().astype(float)
        assert np.abs(found.mean(axis=(1, 2)) - raw.mean(axis=(1, 2))).max() < 2
        quarter, eighth = raw[:, :7, :14].mean(axis=(1, 2)), found[:, :8, :16].mean(axis=(1, 2))
        assert np.corrcoef(quarter, eighth)[0, 1] > 0.999
        mirrored = found[:, :8, 16:].mean(axis=(1, 2))
        assert np.corrcoef(quarter, mirrored)[0, 1] < 0.9

    def test_the_flowers_are_no_idx_file(self, test_data, load):
        with pytest.raises(DataError, match="is not an idx file of images"):
            load(test_data / "data" / "102flowers.tgz", "mnist")
