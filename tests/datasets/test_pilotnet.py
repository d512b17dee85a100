"""A small drive: pictures written here, and their angles."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")
Image = pytest.importorskip("PIL.Image")

from lavadl_ref.datasets import PilotNet  # noqa: E402


def drive(folder, frames=10, line="{n}.png {angle}", size=(256, 455)):
    """Frames of one colour, which tells their number."""
    for n in range(frames):
        picture = np.zeros((*size, 3), np.uint8)
        picture[...] = (n, 2 * n, 255 - n)
        Image.fromarray(picture).save(folder / f"{n}.png")
    lines = [line.format(n=n, angle=1.5 * n - 3) for n in range(frames)]
    (folder / "data.txt").write_text("\n".join(lines) + "\n")
    return folder


@pytest.mark.parametrize("line", ["{n}.png {angle}", "{n}.png {angle},2018-07-01 17:09:44:912", "  {n}.png\t{angle}  "])
def test_pilotnet_gives_frames_and_angles(tmp_path, line):
    data = PilotNet(drive(tmp_path, 11, line), sequence=3)
    # eight of eleven frames make two sequences of three
    assert len(data) == 2
    frames, angles = data[1]
    assert (frames.shape, frames.dtype) == ((3, 33, 100, 3), torch.float32)
    assert (angles.shape, angles.dtype) == ((3,), torch.float32)
    for step, n in enumerate((3, 4, 5)):
        expected = torch.tensor([n, 2 * n, 255 - n])[:, None, None].expand(3, 33, 100)
        assert torch.equal((frames[..., step] * 255).round().long(), expected)
        assert angles[step] == pytest.approx(math.radians(1.5 * n - 3))
    test = PilotNet(tmp_path, train=False, sequence=3)
    assert [angles.tolist() for _, angles in test] == [pytest.approx([math.radians(1.5 * n - 3) for n in (8, 9, 10)])]
    assert torch.equal(data[-1][0], frames)
    with pytest.raises(IndexError, match="index of PilotNet must be at least -2 and below 2, got 2"):
        _ = data[2]


def test_pictures_are_resized_as_pillow_does(tmp_path):
    drive(tmp_path)
    noise = np.random.default_rng(0).integers(0, 256, (66, 200, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "0.png")
    frames, _ = PilotNet(tmp_path, sequence=1)[0]
    expected = np.asarray(Image.fromarray(noise).resize((100, 33), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal((frames[..., 0] * 255).round().numpy().transpose(1, 2, 0), expected)
    assert PilotNet(tmp_path, sequence=1, size=(66, 200))[0][0].shape == (3, 66, 200, 1)


def test_a_grey_picture_gets_three_channels(tmp_path):
    drive(tmp_path)
    Image.fromarray(np.full((20, 30), 51, np.uint8)).save(tmp_path / "0.png")
    frames, _ = PilotNet(tmp_path, sequence=1)[0]
    assert frames.unique().tolist() == [pytest.approx(0.2)]


@pytest.mark.parametrize("line", ["{n}.png", "{n}.png left", "{n}.png nan", "{n}.png ,2018"])
def test_a_malformed_line_is_named(tmp_path, line):
    with pytest.raises(ValueError, match=r"data\.txt:1 must be a file name and an angle in degrees, got '0"):
        PilotNet(drive(tmp_path, line=line))


def test_a_frame_outside_the_folder_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"frames must lie beside it, got '\.\./0\.png'"):
        PilotNet(drive(tmp_path, line="../{n}.png {angle}"))


def test_frames_fewer_than_a_sequence_are_refused(tmp_path):
    with pytest.raises(ValueError, match="frames to test with must be at least 3, got 2"):
        PilotNet(drive(tmp_path), train=False, sequence=3)


def test_damaged_and_missing_pictures_are_named_when_read(tmp_path):
    data = PilotNet(drive(tmp_path), sequence=2)
    whole = (tmp_path / "0.png").read_bytes()
    for content in (whole[:-200], b"no picture", b""):
        (tmp_path / "0.png").write_bytes(content)
        with pytest.raises(ValueError, match=r"0\.png must be a picture"):
            _ = data[0]
    (tmp_path / "0.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"0\.png: there is no such file; expected a frame"):
        _ = data[0]


def test_a_missing_drive_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent: there is no such folder"):
        PilotNet(tmp_path / "absent")
    with pytest.raises(FileNotFoundError, match=r"data\.txt: there is no such file; expected a line for each frame"):
        PilotNet(tmp_path)


def test_the_extra_is_named_where_pillow_is_missing(tmp_path, monkeypatch):
    drive(tmp_path)
    for name in ("PIL", "PIL.Image"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=r'pip install "lavadl-ref\[pictures\]"'):
        PilotNet(tmp_path)
