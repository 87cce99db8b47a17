"""Archives are read as streams, and what is unsafe, oversized, damaged or cut is refused by name."""

import bz2
import gzip
import io
import lzma
import stat
import tarfile
import zipfile

import numpy as np
import pytest

from ebmdiag.errors import DataError
from ebmdiag_trainers.data import safety
from ebmdiag_trainers.data.archives import members

FILES = {"jpg/b.jpg": b"second", "jpg/a.jpg": b"first" * 300, "readme.txt": b"words"}


def tar_bytes(files=FILES, *extra, form=tarfile.GNU_FORMAT):
    """A plain tar archive of files, with further entries of any kind at its end."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        for entry in extra:
            archive.addfile(entry, io.BytesIO(bytes(entry.size)))
    return buffer.getvalue()


def special(name, kind=tarfile.REGTYPE, link="", size=0):
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname, entry.size = kind, link, size
    return entry


def zip_bytes(files=FILES, attributes=None):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = (attributes or {}).get(name, 0)
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def read(folder, content, name="archive", wanted=lambda name: name.endswith(".jpg")):
    """Read an archive, and prove that nothing was written beside it."""
    path = folder / name
    path.write_bytes(content)
    try:
        return {member.name: member.content for member in members(path, wanted)}
    finally:
        assert [file.name for file in folder.iterdir()] == [name]


WANTED = {name: content for name, content in FILES.items() if name.endswith(".jpg")}
PACKERS = {"plain": bytes, "gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress}


@pytest.mark.parametrize("pack", PACKERS.values(), ids=PACKERS)
def test_tar_archives_are_read_whatever_their_compression(tmp_path, pack):
    assert read(tmp_path, pack(tar_bytes())) == WANTED


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_and_foreign_names_are_read(tmp_path, form):
    name = "ordner/" + "ä" * 60 + "/" + "b" * 40 + ".jpg"
    assert read(tmp_path, tar_bytes({name: b"x"}, form=form)) == {name: b"x"}


def test_zip_archives_are_read(tmp_path):
    assert read(tmp_path, zip_bytes()) == WANTED


def test_folders_are_read_in_the_order_of_names(tmp_path):
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    found = list(members(tmp_path, lambda name: name.endswith(".jpg")))
    assert [member.name for member in found] == ["jpg/a.jpg", "jpg/b.jpg"]
    assert [member.done for member in found] == [0.5, 1.0]


def test_hidden_files_and_resource_forks_are_passed_over(tmp_path):
    files = {"__MACOSX/jpg/a.jpg": b"", "jpg/._a.jpg": b"", ".trash/a.jpg": b"", "./jpg/a.jpg": b"x"}
    assert set(read(tmp_path, tar_bytes(files)).values()) == {b"x"}
    assert set(read(tmp_path, zip_bytes(files)).values()) == {b"x"}


def test_the_share_done_grows_to_one(tmp_path):
    path = tmp_path / "archive.tgz"
    path.write_bytes(gzip.compress(tar_bytes({f"{i}.jpg": bytes(50_000) for i in range(30)})))
    shares = [member.done for member in members(path, lambda name: True)]
    assert shares == sorted(shares)
    assert 0 < shares[-1] <= 1


UNSAFE = ["/etc/passwd.jpg", "../a.jpg", "jpg/../../a.jpg", "..", "C:/a.jpg", "\\\\host\\a.jpg", "jpg\\..\\a.jpg"]


@pytest.mark.parametrize("name", UNSAFE)
@pytest.mark.parametrize("wanted", [True, False])
def test_a_name_that_leads_outside_is_refused_wanted_or_not(tmp_path, name, wanted):
    with pytest.raises(DataError) as caught:
        read(tmp_path, tar_bytes(FILES, special(name)), wanted=lambda name: wanted)
    assert f"member {name!r} points outside the archive" in str(caught.value)
    assert caught.value.exit_code == 3


@pytest.mark.parametrize("name", ["/etc/passwd.jpg", "../a.jpg", "jpg/../../a.jpg", "C:/a.jpg"])
def test_a_zip_name_that_leads_outside_is_refused(tmp_path, name):
    with pytest.raises(DataError, match="points outside the archive"):
        read(tmp_path, zip_bytes({**FILES, name: b"x"}))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_refused(tmp_path, kind):
    with pytest.raises(DataError, match=r"member 'odd\.jpg' is a link, a device or another special file"):
        read(tmp_path, tar_bytes(FILES, special("odd.jpg", kind, "jpg/a.jpg")))


@pytest.mark.parametrize("mode", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO])
def test_zip_links_and_devices_are_refused(tmp_path, mode):
    with pytest.raises(DataError, match=r"member 'jpg/b\.jpg' is a link, a device"):
        read(tmp_path, zip_bytes(attributes={"jpg/b.jpg": (mode | 0o777) << 16}))


@pytest.mark.parametrize("make", [tar_bytes, zip_bytes])
def test_a_large_member_is_refused_and_one_at_the_limit_is_read(tmp_path, monkeypatch, make):
    monkeypatch.setattr(safety, "MEMBER_LIMIT", 1500)
    assert len(read(tmp_path, make())["jpg/a.jpg"]) == 1500
    monkeypatch.setattr(safety, "MEMBER_LIMIT", 1499)
    with pytest.raises(DataError, match=r"member 'jpg/a\.jpg' unpacks to 1500 bytes, over the limit of 1499"):
        read(tmp_path, make())


@pytest.mark.parametrize("make", [lambda files: gzip.compress(tar_bytes(files)), zip_bytes], ids=["tgz", "zip"])
def test_a_bomb_is_refused_after_the_total_even_if_no_member_is_wanted(tmp_path, monkeypatch, make):
    content = make({f"{i}.bin": bytes(100_000) for i in range(50)})
    assert len(content) < 20_000
    assert read(tmp_path, content) == {}
    monkeypatch.setattr(safety, "TOTAL_LIMIT", 1_000_000)
    with pytest.raises(DataError, match="unpacks to more than"):
        read(tmp_path, content)


def test_a_bomb_after_the_end_of_the_archive_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(safety, "TOTAL_LIMIT", 1_000_000)
    with pytest.raises(DataError, match="unpacks to more than"):
        read(tmp_path, gzip.compress(tar_bytes() + bytes(5_000_000)))


def test_a_header_that_claims_gigabytes_is_refused_unread(tmp_path, monkeypatch):
    monkeypatch.setattr(safety, "MEMBER_LIMIT", 100_000)
    name = tar_bytes({}, special("././@LongLink", tarfile.GNUTYPE_LONGNAME, size=200_000))
    with pytest.raises(DataError, match="holds a header or member over"):
        read(tmp_path, gzip.compress(name))


def test_too_many_members_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(safety, "COUNT_LIMIT", 2)
    for content in (tar_bytes(), zip_bytes()):
        with pytest.raises(DataError, match="holds more than 2 members"):
            read(tmp_path, content)


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_a_cut_in_a_compressed_archive_is_an_error_wherever_it_is(tmp_path, pack):
    content = pack(tar_bytes())
    for length in range(len(content)):
        with pytest.raises(DataError, match="archive"):
            read(tmp_path, content[:length])


def test_a_cut_in_a_plain_archive_is_an_error_wherever_it_is(tmp_path):
    content = tar_bytes()
    end = content.rindex(b"words") + 512 + 507  # the last file's block, then one empty block as the mark of the end
    for length in [*range(0, end - 600, 97), *range(end - 600, end)]:
        with pytest.raises(DataError, match="archive"):
            read(tmp_path, content[:length])


def test_a_cut_in_a_zip_archive_is_an_error_wherever_it_is(tmp_path):
    content = zip_bytes()
    for length in range(len(content)):
        with pytest.raises(DataError, match="archive"):
            read(tmp_path, content[:length])


def test_a_damaged_header_in_mid_archive_is_no_end(tmp_path):
    content = bytearray(tar_bytes())
    second = content.index(b"jpg/a.jpg")
    content[second + 100 : second + 300] = b"\xff" * 200
    with pytest.raises(DataError, match="the mark of its end is missing"):
        read(tmp_path, bytes(content))


def test_a_wrong_checksum_of_gzip_or_zip_is_an_error(tmp_path):
    packed = bytearray(gzip.compress(tar_bytes()))
    packed[-8] ^= 1
    with pytest.raises(DataError, match="damaged or truncated"):
        read(tmp_path, bytes(packed))
    zipped = zip_bytes({"a.jpg": b"0123456789" * 2})
    place = zipped.index(b"a.jpg") + 5 + 2
    with pytest.raises(DataError, match="damaged or truncated"):
        read(tmp_path, zipped[:place] + bytes([zipped[place] ^ 4]) + zipped[place + 1 :])


@pytest.mark.parametrize("make", [tar_bytes, zip_bytes], ids=["tar", "zip"])
def test_damaged_headers_never_raise_anything_else(tmp_path, make):
    random = np.random.default_rng(6)
    content = np.frombuffer(make(), dtype=np.uint8)
    refused = 0
    for _ in range(300):
        damaged = content.copy()
        places = random.choice(len(content), 4) if make is zip_bytes else random.integers(0, 3000, 4)
        damaged[places] = random.integers(0, 256, 4)
        try:
            read(tmp_path, damaged.tobytes())
        except DataError:
            refused += 1
    assert refused > 30


def test_an_encrypted_zip_is_refused(tmp_path):
    content = bytearray(zip_bytes({"a.jpg": b"secret"}))
    for signature, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + place] |= 1
    with pytest.raises(DataError, match="is encrypted"):
        read(tmp_path, bytes(content))


@pytest.mark.parametrize("content", [b"", b"just words\n" * 100, b"\x1f\x8b", gzip.compress(b"words")])
def test_what_is_no_archive_is_refused(tmp_path, content):
    with pytest.raises(DataError, match="archive"):
        read(tmp_path, content)


def test_a_missing_path_is_named(tmp_path):
    with pytest.raises(DataError, match=r"nowhere\.tgz does not exist"):
        list(members(tmp_path / "nowhere.tgz", lambda name: True))
