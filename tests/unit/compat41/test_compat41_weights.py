"""Files of strangers: taken where they hold weights, refused by name where they hold anything else, and never run."""

import collections
import io
import os
import pickle
import resource
import subprocess
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from svc_core import checkpoint
from svc_core.compat41 import pickles
from svc_core.compat41.weights import import_weights
from svc_core.errors import BadInput, ConfigError


@pytest.fixture
def canary(tmp_path):
    """A file that code of a stranger would make."""
    return tmp_path / "canary"


@pytest.fixture
def refused(tmp_path, canary):
    """Imports a file's bytes; returns the sentence of the refusal, having checked that nothing was run or written."""

    def call(data: bytes, name: str = "G_0.pth") -> str:
        (tmp_path / name).write_bytes(data)
        with pytest.raises(BadInput) as error:
            import_weights(tmp_path / name, tmp_path / "out.pth")
        assert not canary.exists()
        assert not (tmp_path / "out.pth").exists()
        assert "\n" not in str(error.value)
        return str(error.value)

    return call


class Calls:
    """Pickled as the call of a function."""

    def __init__(self, function, *arguments) -> None:
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def saved(value, **options) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


def zipped(**entries: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def weights(seed: int = 0) -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(seed)
    whole = torch.randn(6, 4, generator=random)
    return {
        "emb_g.weight": whole,
        "half": torch.randn(3, generator=random).half(),
        "brain": torch.randn(5, generator=random).bfloat16(),
        "turned": whole.T,
        "part": whole[1:3, ::2],
        "again": whole,
        "count": torch.tensor(7),
        "empty": whole[:0],
    }


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_file_of_weights_is_taken_whole(tmp_path, suffix):
    content = {
        "model": collections.OrderedDict(weights()),
        "iteration": np.int64(5),
        "learning_rate": np.float64(2e-4),
        "optimizer": {"state": {0: {"step": torch.tensor(1.0)}}, "param_groups": [{"lr": 1e-4, "betas": (0.8, 0.99)}]},
    }
    torch.save(content, tmp_path / "G_5.pth")
    plain = import_weights(tmp_path / "G_5.pth", tmp_path / f"G_0{suffix}")
    assert plain.taken == sorted(weights())
    assert plain.left_out == ["iteration", "learning_rate", "optimizer"]
    if suffix == ".pth":
        made = checkpoint.read(tmp_path / "G_0.pth")
        assert (made["iteration"], made["optimizer"], made["learning_rate"]) == (0, None, 2e-4)
        made = made["model"]
    else:
        import safetensors.torch

        made = safetensors.torch.load_file(tmp_path / "G_0.safetensors")
    assert set(made) == set(weights())
    for name, value in weights().items():
        assert made[name].dtype == value.dtype
        assert torch.equal(made[name], value)


def test_equal_files_give_equal_bytes(tmp_path):
    torch.save({"model": weights()}, tmp_path / "G.pth")
    first = import_weights(tmp_path / "G.pth", tmp_path / "a.pth")
    second = import_weights(tmp_path / "G.pth", tmp_path / "b.pth")
    assert first.sha256 == second.sha256


def test_arrays_of_numpy_and_parameters_are_taken(tmp_path):
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    table = {"array": values, "fortran": np.asfortranarray(values), "own": torch.nn.Parameter(torch.ones(2))}
    torch.save(table, tmp_path / "G.pth")
    import_weights(tmp_path / "G.pth", tmp_path / "out.pth")
    made = checkpoint.read(tmp_path / "out.pth")["model"]
    assert np.array_equal(made["array"].numpy(), values)
    assert np.array_equal(made["fortran"].numpy(), values)
    assert torch.equal(made["own"], torch.ones(2))


def test_a_modules_own_table_is_taken(tmp_path):
    network = torch.nn.Linear(3, 2)
    torch.save({"model": network.state_dict(), "iteration": 1}, tmp_path / "G.pth")
    import_weights(tmp_path / "G.pth", tmp_path / "out.pth")
    assert torch.equal(checkpoint.read(tmp_path / "out.pth")["model"]["weight"], network.weight)


@pytest.mark.parametrize(
    ("function", "arguments", "name"),
    [
        (os.system, ("touch {canary}",), "posix.system"),
        (eval, ("open({canary!r}, 'w')",), "builtins.eval"),
        (exec, ("open({canary!r}, 'w')",), "builtins.exec"),
        (getattr, (os, "system"), "builtins.getattr"),
        (subprocess.check_call, (["touch", "{canary}"],), "subprocess.check_call"),
        (torch.load, ("{canary}",), "torch.serialization.load"),
        (torch.hub.load, ("a/b", "c"), "torch.hub.load"),
        (
            torch._utils._rebuild_device_tensor_from_numpy,
            (1, 2, 3, 4),
            "torch._utils._rebuild_device_tensor_from_numpy",
        ),
    ],
)
@pytest.mark.parametrize("form", ["zip", "pickle", "npy", "pt"])
def test_a_call_is_refused_by_its_name_and_not_made(refused, canary, function, arguments, name, form):
    filled = [one.format(canary=str(canary)) if isinstance(one, str) else one for one in arguments]
    if function is subprocess.check_call:
        filled = [["touch", str(canary)]]
    if function is getattr:
        filled = ["text", "upper"]
    evil = Calls(function, *filled)
    value = {"model": {"a": torch.ones(2), "b": evil}, "iteration": 1}
    if form == "npy":
        buffer = io.BytesIO()
        np.save(buffer, np.array([evil, 1], dtype=object), allow_pickle=True)
        said = refused(buffer.getvalue(), "x.f0.npy")
    elif form == "pickle":
        said = refused(pickle.dumps({"model": {"b": evil}}))
    else:
        said = refused(saved(value), "G_0.pth" if form == "zip" else "x.soft.pt")
    assert f"it wants to run {name}:" in said


def test_the_old_form_of_torch_is_refused_by_the_name_of_what_it_would_run(refused, canary):
    evil = Calls(os.system, f"touch {canary}")
    assert "posix.system" in refused(pickle.dumps(evil, protocol=0))
    old = saved({"model": {"a": torch.ones(2)}}, _use_new_zipfile_serialization=False)
    assert "older than 1.6" in refused(old)


def test_hooks_of_tensors_are_not_called(tmp_path, canary, refused):
    class Hooked(torch.Tensor):
        def __reduce_ex__(self, protocol):
            return torch._tensor._rebuild_from_type_v2, (os.system, torch.Tensor, (f"touch {canary}",), {})

    said = refused(saved({"model": {"a": torch.ones(2).as_subclass(Hooked)}}))
    assert "torch._tensor._rebuild_from_type_v2" in said


def test_a_zip_in_a_zip_is_refused(refused):
    inner = saved({"model": {"a": Calls(os.system, "true")}})
    assert "not of torch (it holds G_0.pth)" in refused(zipped(**{"G_0.pth": inner}))
    assert "it is damaged" in refused(zipped(**{"archive/data.pkl": inner}))


def test_bombs_are_refused(refused):
    zeros = b"\0" * (64 << 20)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}))
        archive.writestr("archive/data/0", zeros)
    assert "zip bomb" in refused(buffer.getvalue())
    # Lists of lists: 2^60 items in some hundred bytes.
    nested: list = []
    for _ in range(60):
        nested = [nested, nested]
    assert "holds no table" in refused(zipped(**{"archive/data.pkl": pickle.dumps(nested)}))
    deep: list = []
    for _ in range(200_000):
        deep = [deep]
    program = b"]" * 200_000 + b"a" * 199_999 + b"."
    assert "is refused" in refused(zipped(**{"archive/data.pkl": program}))
    # A text that says it is 2^62 bytes long.
    assert "is refused" in refused(zipped(**{"archive/data.pkl": b"\x80\x04\x8e" + (1 << 62).to_bytes(8, "little")}))


def test_a_tensor_that_is_larger_than_its_values_is_refused(refused):
    spread = torch.ones(1).expand(1 << 40)
    said = refused(saved({"model": {"a": spread}}))
    assert "reaches beyond its storage" in said


def test_tar_text_and_nothing_are_refused(refused):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("../escape"), io.BytesIO(b""))
    assert "tar archive" in refused(buffer.getvalue())
    for data in (b"", b"PK", b"hello", b"PK\x03\x04" + b"\0" * 100, b"\x93NUMPY"):
        assert "is refused" in refused(data)


def test_arrays_and_programs_are_no_models(refused, tmp_path):
    buffer = io.BytesIO()
    np.save(buffer, np.ones(3))
    assert "an array, not a model" in refused(buffer.getvalue())
    assert "TorchScript" in refused(zipped(**{"a/data.pkl": b"}.", "a/code/x.py": b"import os"}))
    assert "no weights" in refused(saved({"model": {}}))
    assert "'a' is no tensor" in refused(saved({"model": {"a": "text"}}))
    assert "no table of weights" in refused(saved([1, 2]))
    objects = np.array([{"x": 1}], dtype=object)
    assert "objects" in refused(saved({"model": {"a": objects}}))


def test_damage_anywhere_is_a_refusal(refused):
    whole = saved({"model": {"a": torch.arange(100.0)}, "iteration": 3})
    for cut in range(0, len(whole), 97):
        assert "is refused" in refused(whole[:cut])


def test_names_and_places_are_checked(tmp_path):
    torch.save({"model": weights()}, tmp_path / "G.pth")
    with pytest.raises(ConfigError, match=r"must end in \.pth or \.safetensors"):
        import_weights(tmp_path / "G.pth", tmp_path / "out.bin")
    with pytest.raises(BadInput, match="does not exist"):
        import_weights(tmp_path / "none.pth", tmp_path / "out.pth")


def test_a_stand_in_cannot_be_changed():
    change = b"ctorch._utils\n_rebuild_tensor\n}X\x09\0\0\0_function]sb."
    with pytest.raises(pickles.Malformed):
        pickles.read(io.BytesIO(change))
    with pytest.raises(pickles.Malformed):
        pickles.read(io.BytesIO(b"ctorch\nFloatStorage\n(N}X\x04\0\0\0name]stb."))


@pytest.fixture(scope="module")
def little_memory():
    """Some programs of a few bytes ask for a memo of gigabytes; the reader's own process is limited too."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + (64 << 20), hard))
    yield
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@settings(max_examples=300)
@given(data=st.binary(max_size=200))
def test_no_bytes_make_the_reader_do_more_than_refuse(little_memory, data):
    for program in (
        data,
        b"\x80\x02" + data,
        b"ccollections\nOrderedDict\n" + data,
        b"cnumpy\ndtype\n(X\x02\0\0\0f4tR" + data,
    ):
        try:
            pickles.read(io.BytesIO(program))
        except (pickles.Unsafe, pickles.Malformed):
            continue
