"""MNIST's idx, CIFAR-10's pickles and numpy's npz: read where they are right, refused where they are not."""

import gzip
import io
import os
import pickle
import resource
import struct
import tarfile
import zipfile

import numpy as np
import pytest

from ebmdiag.errors import DataError
from ebmdiag_trainers.data.arrays import read_npz
from ebmdiag_trainers.data.cifar import BATCHES, read_batch, read_cifar
from ebmdiag_trainers.data.idx import find_idx, read_idx

DIGITS = np.random.default_rng(0).integers(0, 256, (5, 28, 28), dtype=np.uint8)
IDX = bytes([0, 0, 8, 3]) + struct.pack(">3I", *DIGITS.shape) + DIGITS.tobytes()


class TestIdx:
    """MNIST's own format."""

    @pytest.mark.parametrize("pack", [bytes, gzip.compress])
    def test_plain_or_gzipped(self, tmp_path, pack):
        file = tmp_path / "digits"
        file.write_bytes(pack(IDX))
        assert (read_idx(file)[..., 0] == DIGITS).all()

    @pytest.mark.parametrize("folder", ["", "raw", "MNIST/raw"])
    @pytest.mark.parametrize("suffix", ["", ".gz"])
    def test_found_in_a_folder_and_never_the_test_images(self, tmp_path, folder, suffix):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        file = tmp_path / folder / f"train-images-idx3-ubyte{suffix}"
        file.write_bytes(IDX)
        (tmp_path / folder / "t10k-images-idx3-ubyte").write_bytes(IDX)
        assert find_idx(tmp_path) == file

    def test_a_folder_without_digits_is_refused(self, tmp_path):
        (tmp_path / "t10k-images-idx3-ubyte").write_bytes(IDX)
        with pytest.raises(DataError, match="holds no train-images-idx3-ubyte"):
            find_idx(tmp_path)

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "too few for an idx header"),
            (IDX[:15], "too few for an idx header"),
            (IDX[:-1], "promises 5 images of 28x28, 3920 bytes, but 3919 follow"),
            (IDX + b"x", "3920 bytes, but 3921 follow"),
            (b"\0\0\x08\x01" + IDX[4:], "starts with 00 00 08 01, not 00 00 08 03"),
            (b"\x89PNG" * 10, "is not an idx file of images"),
            (IDX[:4] + struct.pack(">3I", 0, 28, 28), "holds no images"),
            (IDX[:4] + struct.pack(">3I", 2**32 - 1, 2**32 - 1, 2**32 - 1), "damaged or truncated"),
            (gzip.compress(IDX)[:-9], "damaged or truncated"),
            (gzip.compress(IDX)[:40], "damaged or truncated"),
        ],
    )
    def test_bad_files_are_refused(self, tmp_path, content, message):
        file = tmp_path / "digits"
        file.write_bytes(content)
        with pytest.raises(DataError, match=message):
            read_idx(file)

    def test_a_missing_file_is_named(self, tmp_path):
        with pytest.raises(DataError, match="nowhere does not exist"):
            find_idx(tmp_path / "nowhere")


PLANES = np.random.default_rng(1).integers(0, 256, (4, 3, 32, 32), dtype=np.uint8)


def python2_batch(planes=PLANES):
    """A batch as Python 2 and the numpy of its time wrote it: protocol 2, byte strings for all text."""

    def text(value):
        return b"T" + struct.pack("<I", len(value)) + value

    shape = b"".join(b"J" + struct.pack("<i", side) for side in (len(planes), 3072))
    dtype = b"cnumpy\ndtype\n" + text(b"u1") + b"K\x00K\x01\x87R"
    dtype_state = b"(K\x03" + text(b"|") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + text(b"b") + b"\x87R"
    state = b"(K\x01" + shape + b"\x86" + dtype + dtype_state + b"\x89" + text(planes.tobytes()) + b"tb"
    labels = text(b"labels") + b"]q\x01(K\x03K\x05e"
    return b"\x80\x02}(" + text(b"data") + array + state + labels + b"u."


def python3_batch(planes=PLANES):
    return pickle.dumps({b"data": planes.reshape(len(planes), 3072), b"labels": [1] * len(planes)}, protocol=2)


class Attack:
    """Pickles as a call of any function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def cifar_archive(path, batches, folder="cifar-10-batches-py/"):
    with tarfile.open(path, "w:gz") as archive:
        for name, content in batches.items():
            entry = tarfile.TarInfo(folder + name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


class TestCifar:
    """Pickles of a stranger."""

    @pytest.mark.parametrize("make", [python2_batch, python3_batch])
    def test_a_batch_has_its_pixels_last_channel_fastest(self, make):
        assert (read_batch(make(), "here") == PLANES.transpose(0, 2, 3, 1)).all()

    def test_the_hand_made_batch_is_what_python_reads_too(self):
        batch = pickle.loads(python2_batch(), encoding="bytes")
        assert (batch[b"data"].reshape(4, 3, 32, 32) == PLANES).all()

    def test_the_archive_and_its_folder_give_the_five_batches_in_order(self, tmp_path):
        planes = {name: PLANES + np.uint8(i) for i, name in enumerate(BATCHES)}
        batches = {name: python2_batch(planes[name]) for name in reversed(BATCHES)}
        batches["test_batch"] = python2_batch()
        archive = cifar_archive(tmp_path / "cifar.tar.gz", batches)
        truth = np.concatenate(list(planes.values())).transpose(0, 2, 3, 1)
        assert (read_cifar(archive) == truth).all()
        folder = tmp_path / "cifar-10-batches-py"
        folder.mkdir()
        for name, content in batches.items():
            (folder / name).write_bytes(content)
        assert (read_cifar(folder) == truth).all()
        assert (read_cifar(tmp_path) == truth).all()

    def test_a_missing_batch_is_named(self, tmp_path):
        archive = cifar_archive(tmp_path / "cifar.tar.gz", dict.fromkeys(BATCHES[:3], python2_batch()))
        with pytest.raises(DataError, match="lacks data_batch_4, data_batch_5"):
            read_cifar(archive)

    @pytest.mark.parametrize("protocol", range(6))
    def test_a_pickle_that_calls_the_system_is_refused_and_not_run(self, tmp_path, protocol):
        mark = tmp_path / "mark"
        content = pickle.dumps({b"data": Attack(os.system, f"touch {mark}")}, protocol=protocol)
        with pytest.raises(DataError, match=rf"here asks for {os.system.__module__}\.system, .* nothing was run"):
            read_batch(content, "here")
        assert not mark.exists()
        pickle.loads(content)  # the same bytes do run where nothing guards
        assert mark.exists()

    @pytest.mark.parametrize(
        "function", [eval, exec, getattr, open, np.load, np.frombuffer, __import__, os.popen], ids=lambda f: f.__name__
    )
    def test_every_other_global_is_refused_by_name(self, function):
        content = pickle.dumps(Attack(function, "1"), protocol=2)
        with pytest.raises(DataError, match=rf"asks for \S*{function.__name__}, .* refused as unsafe"):
            read_batch(content, "here")

    def test_the_attributes_of_admitted_names_are_out_of_reach(self):
        content = b"\x80\x04\x8c\x05numpy\x8c\x11ndarray.__class__\x93."
        with pytest.raises(DataError, match=r"asks for numpy\.ndarray\.__class__"):
            read_batch(content, "here")

    @pytest.mark.parametrize("extension", [b"\x82\x01", b"\x83\x01\x00", b"\x84\x01\x00\x00\x00", b"Pname\n", b"]Q"])
    def test_extension_codes_and_persistent_ids_lead_nowhere(self, extension):
        with pytest.raises(DataError, match="not a readable CIFAR-10 batch"):
            read_batch(b"\x80\x02" + extension + b".", "here")

    @pytest.mark.parametrize(
        "content", [b"Nr\xff\xff\xff\xff.", b"Np4294967295\n.", b"\x96\xff\xff\xff\xff\xff\x00\x00\x00", b"\x960000000"]
    )
    def test_a_claim_of_memory_is_refused_before_it_is_met(self, content):
        with pytest.raises(DataError, match="not a readable CIFAR-10 batch"):
            read_batch(b"\x80\x05" + content, "here")
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with pytest.raises(DataError, match="it holds LONG_BINPUT 100000000, which no batch needs"):
            read_batch(b"\x80\x02Nr" + struct.pack("<I", 10**8) + b".", "here")
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB; met, it would be 1.6 GB

    def test_the_encoder_admits_only_what_python_writes(self):
        content = b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x04\x00\x00\x00zlib\x86R."
        with pytest.raises(DataError, match="something else than text in latin1"):
            read_batch(content, "here")

    @pytest.mark.parametrize(
        "value",
        [
            {},
            [],
            {b"data": b"bytes"},
            {b"data": np.zeros((2, 3071), np.uint8)},
            {b"data": np.zeros((2, 3072), np.int8)},
            {b"data": np.zeros((2, 3072), np.float32)},
            {b"data": np.zeros((2, 3, 1024), np.uint8)},
            {b"data": np.asfortranarray(np.zeros((2, 3072), np.uint8))},
            {b"data": np.array([[None] * 3072])},
        ],
        ids=str,
    )
    def test_other_content_is_no_batch(self, value):
        with pytest.raises(DataError, match="here is not a CIFAR-10 batch"):
            read_batch(pickle.dumps(value, protocol=2), "here")

    def test_an_empty_batch_is_none(self):
        with pytest.raises(DataError, match="here is not a CIFAR-10 batch"):
            read_batch(python2_batch(PLANES[:0]), "here")

    @pytest.mark.parametrize("make", [python2_batch, python3_batch])
    def test_a_cut_batch_is_an_error_wherever_it_is_cut(self, make):
        content = make()
        for length in [*range(250), *range(250, len(content), 501)]:
            with pytest.raises(DataError, match="here is not a"):
                read_batch(content[:length], "here")


def npz(path, **arrays):
    np.savez_compressed(path, **arrays)
    return path


class TestNpz:
    """Arrays of any user."""

    @pytest.mark.parametrize("shape", [(6, 20, 30), (6, 20, 30, 1), (6, 20, 30, 3)])
    def test_bytes_with_channels_last(self, tmp_path, shape):
        images = np.random.default_rng(2).integers(0, 256, shape, dtype=np.uint8)
        found = read_npz(npz(tmp_path / "a.npz", x=images))
        assert (found == images.reshape(6, 20, 30, -1)).all()

    @pytest.mark.parametrize("channels", [1, 3])
    def test_channels_first(self, tmp_path, channels):
        images = np.random.default_rng(2).integers(0, 256, (6, channels, 20, 30), dtype=np.uint8)
        assert (read_npz(npz(tmp_path / "a.npz", x=images)) == images.transpose(0, 2, 3, 1)).all()

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_floats_of_both_scales_come_back_as_their_bytes(self, tmp_path, dtype):
        images = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
        unit = read_npz(npz(tmp_path / "a.npz", x=(images / 255).astype(dtype)))
        signed = read_npz(npz(tmp_path / "b.npz", x=(images / 127.5 - 1).astype(dtype)))
        assert (unit[..., 0] == images).all()
        assert (signed[..., 0] == images).all()

    def test_images_is_chosen_among_many(self, tmp_path):
        file = npz(tmp_path / "a.npz", labels=np.arange(2), images=np.ones((2, 8, 8), np.uint8))
        assert read_npz(file).shape == (2, 8, 8, 1)

    @pytest.mark.parametrize(
        ("arrays", "message"),
        [
            ({}, "holds 0 arrays"),
            ({"a": np.zeros(1), "b": np.zeros(1)}, r"holds 2 arrays \(a, b\), and none is called 'images'"),
            ({"images": np.zeros((2, 8))}, "must have shape"),
            ({"images": np.zeros((0, 8, 8))}, "must have shape"),
            ({"images": np.zeros((2, 8, 8, 4))}, "neither 1 nor 3 channels"),
            ({"images": np.zeros((2, 3, 8, 3))}, "may be first or last"),
            ({"images": np.zeros((2, 8, 8), np.int64)}, "must be uint8 or floats, not int64"),
            ({"images": np.full((2, 8, 8), 1.5)}, "span 1.5 to 1.5; rescale them"),
            ({"images": np.full((2, 8, 8), -1.5)}, "span -1.5 to -1.5"),
            ({"images": np.full((2, 8, 8), np.nan)}, "span nan to nan"),
            ({"images": np.array([[[None]]])}, "holds Python objects, which are refused as unsafe"),
        ],
    )
    def test_other_arrays_are_refused(self, tmp_path, arrays, message):
        with pytest.raises(DataError, match=message):
            read_npz(npz(tmp_path / "a.npz", **arrays))

    def test_a_header_that_promises_more_than_there_is_is_refused_first(self, tmp_path):
        header = io.BytesIO()
        facts = {"descr": "|u1", "fortran_order": False, "shape": (2**40, 32, 32)}
        np.lib.format.write_array_header_1_0(header, facts)
        with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
            archive.writestr("images.npy", header.getvalue() + bytes(100))
        with pytest.raises(DataError, match=r"images\.npy promises .* it is damaged"):
            read_npz(tmp_path / "a.npz")

    def test_a_cut_file_is_an_error_wherever_it_is_cut(self, tmp_path):
        content = npz(tmp_path / "a.npz", images=np.ones((2, 8, 8), np.uint8)).read_bytes()
        for length in range(len(content)):
            (tmp_path / "b.npz").write_bytes(content[:length])
            with pytest.raises(DataError, match=r"b\.npz"):
                read_npz(tmp_path / "b.npz")

    def test_what_is_no_array_is_refused(self, tmp_path):
        with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
            archive.writestr("images.npy", b"words")
        with pytest.raises(DataError, match="is not a numpy array"):
            read_npz(tmp_path / "a.npz")
