"""Weights files written opcode by opcode: neither PyTorch nor the reader under test helps to write them."""

import os
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest

from image_assets.core.errors import ConfigError
from image_assets.features.torch_weights import parse_state_dict

MAGIC = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2) + pickle.dumps({"little_endian": True}, 2)
ELEMENTS = np.arange(6, dtype="<f4")
STORAGE = struct.pack("<q", 6) + ELEMENTS.tobytes()


def ints(*values: int) -> bytes:
    return b"(" + b"".join(b"I%d\n" % value for value in values) + b"t"


def tensor(*, offset: int = 0, shape: tuple[int, ...] = (6,), strides: tuple[int, ...] = (1,), numel: int = 6) -> bytes:
    storage = b"(Vstorage\nctorch\nFloatStorage\nVkey\nVcpu\nI%d\nNtQ" % numel
    view = b"I%d\n" % offset + ints(*shape) + ints(*strides)
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + view + b"I00\nccollections\nOrderedDict\n(tRtR"


def weights_file(entry: bytes, *, storage: bytes = STORAGE, keys: tuple[str, ...] = ("key",)) -> bytes:
    state = b"ccollections\nOrderedDict\n(tR(Vname\n" + entry + b"u."
    return MAGIC + state + pickle.dumps(list(keys), 2) + storage


def test_a_tensor_is_read_with_its_offset_and_strides() -> None:
    data = weights_file(tensor(offset=1, shape=(2, 2), strides=(1, 3)))
    state = parse_state_dict(data, origin="test")
    np.testing.assert_array_equal(state["name"], [[1, 4], [2, 5]])
    assert state["name"].dtype == np.float32


def test_a_tensor_cannot_be_written_to() -> None:
    state = parse_state_dict(weights_file(tensor()), origin="test")
    with pytest.raises(ValueError, match="read-only"):
        state["name"][0] = 1


class RunsACommand:
    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (self.command,)


@pytest.mark.parametrize("place", ["first pickle", "state dict", "storage keys", "inside the state dict"])
def test_a_file_that_would_run_a_command_is_refused_and_nothing_runs(tmp_path: Path, place: str) -> None:
    trace = tmp_path / "was-here"
    attack = pickle.dumps(RunsACommand(f"touch {trace}"), 2)
    data = {
        "first pickle": attack,
        "state dict": MAGIC + attack,
        "storage keys": weights_file(tensor())[: -len(STORAGE) - len(pickle.dumps(["key"], 2))] + attack,
        "inside the state dict": weights_file(attack[2:-1]),  # without its own header and stop
    }[place]
    with pytest.raises(ConfigError, match=r"it asks for (posix|nt)\.system, which no state dict needs"):
        parse_state_dict(data, origin="test")
    assert not trace.exists()


def test_the_attack_of_these_tests_does_run_when_nothing_refuses_it(tmp_path: Path) -> None:
    trace = tmp_path / "was-here"
    pickle.loads(pickle.dumps(RunsACommand(f"touch {trace}"), 2))
    assert trace.exists()


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("builtins", "eval"),
        ("builtins", "getattr"),
        ("collections", "namedtuple"),  # the right module, another name
        ("torch._utils", "_rebuild_parameter"),
        ("torch", "load"),
        ("torch", "OrderedDict"),  # a known name in another module
        ("image_assets.features.torch_weights", "os"),
    ],
)
def test_every_other_name_is_refused(module: str, name: str) -> None:
    data = weights_file(f"c{module}\n{name}\n".encode())
    with pytest.raises(ConfigError, match=f"asks for {module}.{name}"):
        parse_state_dict(data, origin="test")


def test_a_file_cut_anywhere_is_refused() -> None:
    data = weights_file(tensor())
    for length in range(len(data)):
        with pytest.raises(ConfigError, match="no usable state dict"):
            parse_state_dict(data[:length], origin="test")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (weights_file(tensor(offset=1)), "outside its storage"),
        (weights_file(tensor(offset=-1)), "outside its storage"),
        (weights_file(tensor(strides=(-1,), offset=5)), "outside its storage"),
        (weights_file(tensor(shape=(2**40,), strides=(0,))), "outside its storage"),  # one element seen 2**40 times
        (weights_file(tensor(shape=(6, 1))), "shorter"),  # fewer strides than axes
        (weights_file(tensor(numel=7)), "should hold 7 elements and declares 6"),
        (weights_file(tensor(numel=-1), storage=struct.pack("<q", -1) + bytes(24)), "declares -1"),
        (weights_file(tensor(), keys=()), "key"),  # no storage for the tensor
        (weights_file(tensor(), keys=("other",)), "other"),
        (weights_file(b"I5\n"), "'name' is no tensor"),
        (MAGIC + pickle.dumps({"name": 5}, 2), "it holds a dict"),
        (pickle.dumps(5, 2), "magic number"),
        (MAGIC.replace(b"little_endian", b"little-endian"), "little-endian machine"),
        (b"PK\x03\x04", "newer zip format"),
        (b"\x89PNG\r\n", "no usable state dict"),
    ],
)
def test_a_file_that_contradicts_itself_is_refused_with_the_reason(data: bytes, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse_state_dict(data, origin="test")
