"""Kept conversations with programs."""

from __future__ import annotations

import zlib
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from harness.host.workspace import Workspace
from harness.onhost.transcript import Transcript, TranscriptCache, TranscriptRecorder

TRANSCRIPTS = st.builds(
    Transcript,
    st.integers(0, 10**9 - 1),
    st.integers(0, 10**9 - 1),
    st.integers(0, 2**32 - 1),
    st.binary(),
)


@given(TRANSCRIPTS)
def test_what_is_kept_is_read_again(transcript: Transcript) -> None:
    assert Transcript.of_bytes(transcript.to_bytes()) == transcript


@given(TRANSCRIPTS, st.data())
def test_a_damaged_one_is_none(transcript: Transcript, data: st.DataObject) -> None:
    text = bytearray(transcript.to_bytes())
    place = data.draw(st.integers(0, len(text) - 1))
    text[place] ^= data.draw(st.integers(1, 255))
    assert Transcript.of_bytes(bytes(text)) in (None, transcript)
    assert Transcript.of_bytes(transcript.to_bytes()[:place]) in (None, transcript)


class Parrot:
    """A program that says each line again, in pieces."""

    def __init__(self, piece: int) -> None:
        self.piece = piece
        self.said = b""

    def read(self, timeout: float, also: int | None = None) -> bytes:
        del timeout, also
        data, self.said = self.said[: self.piece], self.said[self.piece :]
        return data

    def write(self, data: bytes) -> None:
        self.said += data


@given(st.integers(1, 40))
def test_answers_are_summed_up_by_their_own_checksums_however_they_come(piece: int) -> None:
    lines = [b"@harness 0001 a *0badcafe\n", b"@harness 0002 b *cafe0bad\n"]
    recorder = TranscriptRecorder(Parrot(piece))
    recorder.write(b"".join(lines))
    while recorder.read(0.0):
        pass
    digest = 0
    for line in lines:
        digest = zlib.crc32(line[-9:], digest)
    assert recorder.transcript(7) == Transcript(7, 2, digest, b"".join(lines))


def test_parts_are_kept_apart(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "cache", tmp_path / "state", tmp_path / "run")
    kept = Transcript(1, 2, 3, b"commands\n")
    TranscriptCache(workspace, ["model 1"]).keep(4, kept)
    assert TranscriptCache(workspace, ["model 1"]).find(4) == kept
    assert TranscriptCache(workspace, ["model 1"]).find(5) is None
    assert TranscriptCache(workspace, ["model 2"]).find(4) is None
