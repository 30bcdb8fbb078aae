"""A ledger's accounts as bytes: a few kilobytes per target, and again the same accounts to the last bit.

What the ranks know is not repeated: names, thresholds, numbers of calibration runs. A digest of them is stored, since
accounts read with other ranks would be nonsense that looks like evidence.
"""

import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alerts.evidence.accounts import ACCOUNTS, KINDS, STEADY_RUNS, Accounts
from alerts.evidence.bets import THRESHOLDS, Bools
from alerts.evidence.ranks import Ranks

FORMAT = 2
"""Version of the stored ledger; the first was JSON, which begins with a brace."""

_MAGIC = b"AWL"
_HEAD = struct.Struct("<3sB8sIH")
_CHECKSUM = struct.Struct("<I")
_NO_RUN = 0xFFFF
_WIDTHS = {1: "<u1", 2: "<u2", 4: "<u4"}
_TIMES = 2 + len(KINDS)


def pack(ranks: Ranks, accounts: Accounts, last_run_id: str | None) -> bytes:
    """The accounts, with the last run's id and a checksum."""
    calibrated = _calibrated(ranks)
    # Each row as narrow as its largest count allows: few runs lie beyond all calibration runs.
    rows = [accounts.j[calibrated], *accounts.k.swapaxes(1, 2)[calibrated].T]
    widths = [_width(int(row.max(initial=0))) for row in rows]
    # Most components bet on the same runs: their few times are written once, and then numbered.
    every_time = np.concatenate([accounts.at[None], accounts.paid_until[None], accounts.quiet_at])
    times, numbers = np.unique(every_time, return_inverse=True)
    run_id = (last_run_id or "").encode()
    id_length = _NO_RUN if last_run_id is None else len(run_id)
    if len(run_id) >= _NO_RUN:
        raise ValueError(f"a run id of {len(run_id)} bytes is too long to be stored")
    in_blocks = _in_blocks(ranks)
    body = b"".join(
        (
            _HEAD.pack(_MAGIC, FORMAT, ranks.digest, len(times), id_length),
            run_id,
            bytes(widths),
            *(row.astype(_WIDTHS[width]).tobytes() for row, width in zip(rows, widths, strict=True)),
            times.astype("<f8").tobytes(),
            numbers.astype(_WIDTHS[_width(len(times))]).tobytes(),
            accounts.wealth.astype("<f4").tobytes(),
            accounts.marks.tobytes(),
            accounts.partial[in_blocks].astype("<f8").tobytes(),
            accounts.gathered[in_blocks].astype("<u4").tobytes(),
        )
    )
    return body + _CHECKSUM.pack(zlib.crc32(body))


def unpack(data: bytes, ranks: Ranks) -> tuple[Accounts, str | None]:
    """What :func:`pack` was given. ValueError says why these bytes cannot be it."""
    n_times, id_length = _opened(data, ranks)
    read = _Reader(data, _HEAD.size)
    run_id = None if id_length == _NO_RUN else read.bytes(id_length).decode()
    calibrated, in_blocks = _calibrated(ranks), _in_blocks(ranks)
    labels, c, cells = *ranks.n.shape, int(calibrated.sum())
    accounts = Accounts.opened(labels, c)
    widths = read.bytes(1 + THRESHOLDS)
    accounts.j[calibrated] = read.array(_WIDTHS[widths[0]], cells)
    for threshold, width in enumerate(widths[1:]):
        accounts.k[:, threshold][calibrated] = read.array(_WIDTHS[width], cells)
    times = read.array("<f8", n_times)
    every_time = times[read.array(_WIDTHS[_width(n_times)], _TIMES * c)].reshape(_TIMES, c)
    wealth = read.array("<f4", ACCOUNTS * c).astype(np.float32).reshape(ACCOUNTS, c)
    marks = read.array("<i1", STEADY_RUNS * c).reshape(STEADY_RUNS, c)
    accounts.partial[in_blocks] = read.array("<f8", int(in_blocks.sum()))
    accounts.gathered[in_blocks] = read.array("<u4", int(in_blocks.sum()))
    read.end()
    return (
        Accounts(
            j=accounts.j,
            k=accounts.k,
            wealth=wealth,
            at=every_time[0],
            paid_until=every_time[1],
            quiet_at=every_time[2:],
            marks=marks,
            partial=accounts.partial,
            gathered=accounts.gathered,
        ),
        run_id,
    )


def _opened(data: bytes, ranks: Ranks) -> tuple[int, int]:
    """The numbers in the head, when the bytes are whole, of this version, and of these ranks."""
    if data[:1] == b"{":
        raise ValueError(f"this ledger is stored in format 1 (JSON); this version reads format {FORMAT}")
    if len(data) < _HEAD.size + _CHECKSUM.size or data[:3] != _MAGIC:
        raise ValueError("these bytes are not a stored ledger")
    if data[3] != FORMAT:
        raise ValueError(f"this ledger is stored in format {data[3]}; this version reads format {FORMAT}")
    if _CHECKSUM.unpack(data[-_CHECKSUM.size :])[0] != zlib.crc32(data[: -_CHECKSUM.size]):
        raise ValueError("this stored ledger is damaged: its checksum is wrong")
    _, _, digest, n_times, id_length = _HEAD.unpack_from(data)
    if digest != ranks.digest:
        raise ValueError("this stored ledger belongs to another calibration than the one it is read with")
    return n_times, id_length


class _Reader:
    """The stored parts one after the other."""

    def __init__(self, data: bytes, start: int) -> None:
        self._data, self._at = data, start

    def bytes(self, length: int) -> bytes:
        self._at += length
        return self._data[self._at - length : self._at]

    def array(self, kind: str, length: int) -> NDArray[Any]:
        array = np.frombuffer(self._data, kind, length, self._at)
        self._at += array.nbytes
        return array

    def end(self) -> None:
        if self._at != len(self._data) - _CHECKSUM.size:
            raise ValueError("this stored ledger is damaged: its length is wrong")


def _calibrated(ranks: Ranks) -> Bools:
    """The pairs of label and component that have counts."""
    return np.asarray(ranks.n > 0)


def _in_blocks(ranks: Ranks) -> Bools:
    return np.array([name in ranks.blocks for name in ranks.names], dtype=np.bool_)


def _width(largest: int) -> int:
    """How many bytes a whole number of up to this size takes."""
    return next(width for width in _WIDTHS if largest < 1 << (8 * width))
