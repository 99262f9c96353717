"""Shards: how files are divided, that equal content gives equal bytes, and that nothing foreign comes out."""

import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svc_core import files
from svc_core.errors import Damaged
from svc_core.hub import packing, tables, tars
from svc_core.hub.contents import Entry, Member
from svc_core.hub.packing import Offer, Row, shard_groups


def rows_of(*entries: list[int]) -> list[Row]:
    """One row per size, by entry."""
    found = []
    for number, sizes in enumerate(entries):
        offer = Offer(Entry(key=f"e{number}"))
        found += [
            Row(offer, Member(key=f"e{number}/{index}", sha256="", size=size, path=""))
            for index, size in enumerate(sizes)
        ]
    return found


@given(st.lists(st.lists(st.integers(0, packing.SHARD_BYTES), min_size=1, max_size=5), max_size=20))
def test_no_shard_passes_its_size_and_nothing_is_lost(entries):
    rows = rows_of(*entries)
    groups = list(shard_groups(rows))
    assert [row for group in groups for row in group] == rows
    assert all(sum(row.member.size for row in group) <= packing.SHARD_BYTES for group in groups)


def test_ten_hours_are_few_shards():
    """10 h in clips of 8 s: 4,500 wavs of 705,644 bytes, and sidecars of about six times that (FORMATS 3)."""
    wav, frames = 8 * 44_100 * 2 + 44, 8 * 44_100 // 512
    sidecars = [768 * 400 * 4, frames * 4, frames * 4, 1025 * frames * 4, frames * 4]
    clips = list(shard_groups(rows_of(*[[wav] * 45] * 100)))
    features = list(shard_groups(rows_of(*[sidecars] * 4500)))
    # 3.18 GB in shards of at most 400 MB, cut between recordings of 31.8 MB; 18.3 GB cut between clips of 4.1 MB.
    assert (len(clips), len(features)) == (9, 46)
    assert all(sum(row.member.size for row in group) > 256e6 for group in (*clips[:-1], *features[:-1]))


def test_a_recording_larger_than_a_shard_is_cut_between_its_clips():
    half = packing.SHARD_BYTES // 2
    groups = [[row.member.key for row in group] for group in shard_groups(rows_of([1], [half, half, half], [1]))]
    assert groups == [["e0/0", "e1/0"], ["e1/1", "e1/2"], ["e2/0"]]


def contents_of(data: dict[str, bytes]) -> list[tars.Content]:
    return [tars.Content(f"data/44k/a/wavs/{name}", value) for name, value in data.items()]


def members_of(data: dict[str, bytes]) -> dict[str, Member]:
    return {
        item.key: Member(key=item.key, sha256=files.sha256_bytes(item.data), size=len(item.data), path="x")
        for item in contents_of(data)
    }


@given(st.dictionaries(st.from_regex(r"[a-z0-9-]{1,120}\.wav\.f0\.npy", fullmatch=True), st.binary(max_size=2000)))
def test_a_tar_gives_back_what_went_in_and_depends_on_nothing_else(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("tar")
    for name in ("one.tar", "two.tar"):
        tars.write_tar(folder / name, contents_of(data))
    assert (folder / "one.tar").read_bytes() == (folder / "two.tar").read_bytes()
    out: dict[str, bytes] = {}
    wanted = members_of(data)
    tars.read_tar(folder / "one.tar", wanted, lambda member, value: out.update({member.key: value}))
    assert out == {item.key: item.data for item in contents_of(data)}
    with tarfile.open(folder / "one.tar") as tar:
        assert {(entry.mtime, entry.uid, entry.gid, entry.uname) for entry in tar} <= {(0, 0, 0, "")}


@pytest.mark.parametrize("damage", ["cut", "noise", "gzip", "twice", "longer"])
def test_what_is_no_tar_of_ours_is_refused(tmp_path, damage):
    data = {"c.wav.f0.npy": b"0" * 5000}
    path = tmp_path / "shard.tar"
    tars.write_tar(path, contents_of(data) * (2 if damage == "twice" else 1))
    raw = path.read_bytes()
    wanted = members_of(data)
    if damage == "cut":
        path.write_bytes(raw[:3000])
    elif damage == "noise":
        path.write_bytes(bytes(range(256)) * 40)
    elif damage == "gzip":
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
            tar.addfile(tarfile.TarInfo("c.wav.f0.npy"))
        path.write_bytes(buffer.getvalue())
    elif damage == "longer":
        wanted = members_of({"c.wav.f0.npy": b"0" * 10})
    with pytest.raises(Damaged):
        tars.read_tar(path, wanted, lambda member, value: None)


def table_rows(count: int) -> list[dict]:
    text = {"speaker": "a", "source": "raw/a/x.wav", "split": None, "sha256": "0"}
    return [
        {"audio": {"bytes": b"RIFF%d" % number, "path": f"{number}.wav"}, "offset_s": 0.0, "seconds": 1.0,
         "clip": f"data/44k/a/wavs/{number}.wav", **text}
        for number in range(count)
    ]  # fmt: skip


def test_a_table_is_read_by_row_groups_and_depends_on_its_rows_alone(tmp_path):
    import pyarrow.parquet

    for name in ("one", "two"):
        tables.write_table(tmp_path / name, table_rows(250))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert pyarrow.parquet.ParquetFile(tmp_path / "one").num_row_groups == 3
    wanted = {row["clip"]: Member(key=row["clip"], sha256="", size=1, path="x") for row in table_rows(250)[100:105]}
    out: dict[str, bytes] = {}
    tables.read_table(tmp_path / "one", wanted, lambda member, data: out.update({member.key: data}))
    assert out == {row["clip"]: row["audio"]["bytes"] for row in table_rows(250)[100:105]}


@pytest.mark.parametrize("damage", ["cut", "noise", "other columns"])
def test_what_is_no_table_of_ours_is_refused(tmp_path, damage):
    import pyarrow
    import pyarrow.parquet

    path = tmp_path / "shard"
    tables.write_table(path, table_rows(3))
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-20])
    elif damage == "noise":
        path.write_bytes(b"noise" * 100)
    else:
        table = pyarrow.table({"clip": ["data/44k/a/wavs/0.wav"]})
        pyarrow.parquet.write_table(table, path, compression="none", use_dictionary=False)
    wanted = {"data/44k/a/wavs/0.wav": Member(key="data/44k/a/wavs/0.wav", sha256="", size=1, path="x")}
    with pytest.raises(Damaged):
        tables.read_table(path, wanted, lambda member, data: None)
