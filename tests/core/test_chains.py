"""The table of chains: written as a stream, cut and continued, read alive, and refused where it is no such thing."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ebmdiag.chains import ChainFiles, ChainsMetadata, ChainWriter, Samples, chain_files, read_chains, read_samples
from ebmdiag.chains import writer as writing
from ebmdiag.chains.metadata import KEY
from ebmdiag.chains.samples import write_samples
from ebmdiag.errors import DataError, EbmdiagError, OutputExistsError, TraceError, UsageError

METADATA = ChainsMetadata(producer="test", sampler={"name": "mala"}, epsilon=0.1)
CHAINS = 5


def append(writer, first, last, phase="long"):
    """Draws first … last - 1, ten steps apart, whose energies tell chain and draw."""
    for place in range(first, last):
        energy = 100.0 * place + np.arange(CHAINS)
        values = {"energy": energy, "grad_norm": energy, "displacement": energy, "acceptance": np.full(CHAINS, np.nan)}
        writer.append(phase, "data", 10 * place, np.arange(CHAINS) // 2, values)


def written(path="a.parquet", draws=20, **options):
    files = ChainFiles.of(path)
    with ChainWriter(files, METADATA, **options) as writer:
        append(writer, writer.rows // CHAINS, draws)
        writer.finish(gradients=7)
    return files


def test_what_was_written_is_read(workplace):
    files = written()
    chains = read_chains(files.table)
    phase = chains.phases["long"]
    assert phase.values["energy"].shape == (CHAINS, 20)
    assert phase.values["energy"][3, 7] == 703
    assert phase.draws.tolist() == list(range(0, 200, 10))
    assert phase.starts.tolist() == [0, 0, 1, 1, 2]
    assert phase.has("energy")
    assert not phase.has("acceptance")
    assert not phase.has("saturation")
    assert (chains.metadata.state, chains.metadata.gradients) == ("finished", 7)
    assert not files.part_paths()


def broken_off(files, flushes):
    """All rows are written, as parts after these draws and at the end; the table is not."""
    with ChainWriter(files, METADATA) as writer:
        for place in range(20):
            append(writer, place, place + 1)
            if place in flushes:
                writer.flush()
        raise KeyboardInterrupt


@pytest.mark.parametrize("flushes", [(), (3,), (1, 2, 3, 11, 17)])
@pytest.mark.parametrize("keep", [0, 35, 37, 100])
def test_the_bytes_do_not_depend_on_when_parts_were_written(workplace, monkeypatch, flushes, keep):
    """Also not on a kill between, after which what came later than ``keep`` rows is written again."""
    monkeypatch.setattr(writing, "_ROW_GROUP", 16)
    whole = written("whole.parquet").table.read_bytes()
    files = ChainFiles.of("parts.parquet")
    with pytest.raises(KeyboardInterrupt):
        broken_off(files, flushes)
    with ChainWriter(files, METADATA, keep_rows=keep - keep % CHAINS) as writer:
        assert writer.rows == keep - keep % CHAINS
        append(writer, writer.rows // CHAINS, 20)
        writer.finish(gradients=7)
    assert files.table.read_bytes() == whole


def test_a_finished_table_goes_on(workplace, monkeypatch):
    monkeypatch.setattr(writing, "_ROW_GROUP", 16)
    files = written(draws=12)
    write_samples(files.samples, Samples(long=np.zeros((CHAINS, 2), np.float32)))
    written(draws=20, keep_rows=12 * CHAINS)
    assert files.table.read_bytes() == written("whole.parquet").table.read_bytes()
    assert not files.samples.exists()  # the states were those of draw 12


def test_a_kill_while_the_table_is_cut_loses_nothing(workplace):
    """Both ways to be killed: parts beside a whole table, made from it or into it, are not read, and not kept."""
    files = written(draws=12)
    writer = ChainWriter(files, METADATA, keep_rows=12 * CHAINS)
    parts = {path: path.read_bytes() for path in files.part_paths()}
    writer._lock.release()  # as the operating system does
    written("again.parquet", draws=12).table.rename(files.table)
    assert parts
    assert len(read_chains(files.table).table) == 12 * CHAINS
    written(draws=20, keep_rows=12 * CHAINS)
    assert files.table.read_bytes() == written("whole.parquet").table.read_bytes()


def test_read_while_it_is_written_and_after_a_kill(workplace):
    files = ChainFiles.of("chains/a-tau1.5.parquet")
    writer = ChainWriter(files, METADATA)
    append(writer, 0, 3)
    writer.flush()
    assert [one.table.name for one in chain_files(Path("chains"))] == ["a-tau1.5.parquet"]
    assert read_chains(files.table).metadata.state == "running"
    writer._lock.release()
    chains = read_chains(files.table)
    assert chains.metadata.state == "interrupted"
    assert chains.phases["long"].draws.tolist() == [0, 10, 20]
    with pytest.raises(OutputExistsError, match="add --resume"):
        ChainWriter(files, METADATA)


def test_a_draw_that_lacks_chains(workplace):
    """Left out while the table grows; a fault once it says that it is finished."""
    files = written()
    table = pq.read_table(files.table)
    pq.write_table(table.slice(0, len(table) - 1), files.table)
    with pytest.raises(TraceError, match="99 rows, which are no whole draws of 5 chains"):
        _ = read_chains(files.table).phases
    facts = json.loads(table.schema.metadata[KEY]) | {"state": "running"}
    growing = table.slice(0, len(table) - 1).replace_schema_metadata({KEY: json.dumps(facts)})
    pq.write_table(growing, files.table)
    assert len(read_chains(files.table).phases["long"].draws) == 19


def test_two_writers_at_once(workplace, monkeypatch):
    monkeypatch.setattr("ebmdiag.locks._PATIENCE_S", 0.0)
    files = ChainFiles.of("a.parquet")
    with ChainWriter(files, METADATA), pytest.raises(UsageError, match="another process is writing"):
        ChainWriter(files, METADATA, force=True)


def changed(files, **columns):
    table = pq.read_table(files.table)
    for name, values in columns.items():
        place = table.schema.get_field_index(name)
        table = table.set_column(place, table.schema.field(name).with_nullable(True), values)
    pq.write_table(table, files.table)


def refused(files, match):
    with pytest.raises(EbmdiagError, match=match) as caught:
        _ = read_chains(files.table).phases
    assert caught.value.exit_code == 3
    assert "\n" not in str(caught.value)


def test_tables_that_are_none(workplace):
    refused(ChainFiles.of("nowhere.parquet"), "no such table of chains")
    files = written()
    whole = files.table.read_bytes()
    for length in (0, 4, 100, len(whole) // 2, len(whole) - 1):
        files.table.write_bytes(whole[:length])
        refused(files, "cannot be read as Parquet")
    pq.write_table(pa.table({"a": [1]}), files.table)
    refused(files, "no table of chains")
    with pytest.raises(UsageError, match=r"is a \.parquet file"):
        read_chains("a.txt")


def test_numbers_that_a_stranger_may_write(workplace):
    count = 20 * CHAINS
    chain = np.tile(np.arange(CHAINS, dtype=np.int32), 20)
    for name, values, match in (
        ("chain", pa.array(np.where(np.arange(count) == 3, 2**31 - 1, chain).astype(np.int32)), "no whole draws"),
        ("chain", pa.array(-chain), "count from 0"),
        ("draw", pa.array(np.arange(count)), "not recorded at the same draws"),
        ("energy", pa.array([None] * count, pa.float64()), "missing values"),
        ("init", pa.array(["data", "noise"] * (count // 2)), "several starts"),
    ):
        files = written(force=True)
        changed(files, **{name: values})
        refused(files, match)


@pytest.mark.parametrize(
    ("facts", "match"),
    [
        ({"schema_version": 9}, "upgrade ebmdiag"),
        ({"epsilon": -1.0}, "at least 0"),
        ({"epsilon": True}, "must be float"),
        ({"steps": "many"}, "'steps' must be int"),
        ({"state": "lost"}, "must be one of"),
        ({"sampler": None}, "'sampler' must be dict"),
    ],
)
def test_metadata_that_a_stranger_may_write(workplace, facts, match):
    files = written()
    table = pq.read_table(files.table)
    known = json.loads(table.schema.metadata[KEY])
    pq.write_table(table.replace_schema_metadata({KEY: json.dumps(known | facts)}), files.table)
    refused(files, match)


def test_samples_come_back(workplace):
    rng = np.random.default_rng(0)
    states = rng.standard_normal((4, 3, 2, 2)).astype(np.float32)
    write_samples(Path("a.npz"), Samples(data=states, long=states[:2], nearest_data=np.arange(4.0)))
    found = read_samples(Path("a.npz"))
    assert found.short is None
    assert np.array_equal(found.data, states)
    assert found.nearest_data.tolist() == [0, 1, 2, 3]


def header(shape):
    """A npy file that claims a shape and holds nothing of it."""
    handle = io.BytesIO()
    np.lib.format.write_array_header_1_0(handle, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return handle.getvalue() + b"\0" * 64


def test_samples_that_are_none(workplace):
    path = Path("a.npz")

    def says(match):
        with pytest.raises(DataError, match=match):
            read_samples(path)

    path.write_bytes(b"PK nonsense")
    says("cannot be read as samples")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data.npy", header((10**11, 2)))
    says("more than it holds")
    np.savez(path, data=np.array(["a"], dtype=object))
    says("cannot be read as samples")
    np.savez(path, data=np.zeros((3, 2)), long=np.zeros((3, 4)))
    says("differ in shape")
    np.savez(path, data=np.zeros((3, 2)), nearest_data=np.zeros(2))
    says("one distance for each state")
