"""Pillow, which is needed only where pictures are read or written."""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

from lavadl_ref import _files

if TYPE_CHECKING:
    from PIL.Image import Image

#: Decoders of other formats start programs, or take memory that does not follow from the size of the picture.
FORMATS = ("JPEG", "PNG", "BMP", "PPM", "WEBP")


def pillow(module: str = "Image") -> Any:
    """The module ``PIL.<module>``.

    Raises
    ------
    ImportError
        If Pillow is not installed; says how to install it.
    """
    try:
        return importlib.import_module(f"PIL.{module}")
    except ImportError as error:
        raise ImportError("pictures need Pillow: pip install 'lavadl-ref[pictures]'") from error


def picture(path: str | os.PathLike[str], what: str) -> Image:
    """The picture of a file, in red, green and blue.

    Parameters
    ----------
    path : path
        One of `FORMATS`, of at most `_files.PIXELS` pixels, which is looked at before anything is decoded.
    what : str
        What it is, for errors.

    Raises
    ------
    ImportError
        Pillow is missing.
    OSError
        The file is missing or cannot be read.
    ValueError
        It is no such picture, or damaged; begins with the name of the file.
    """
    images = pillow()
    expected = f"{os.fspath(path)}: expected a picture, {what}"
    with _files.opened(path, what) as stream:
        try:
            with images.open(stream, formats=FORMATS) as found:
                width, height = found.size
                if width * height <= _files.PIXELS:
                    decoded: Image = found.convert("RGB")
                    return decoded
        except (images.DecompressionBombError, images.DecompressionBombWarning):
            said = "it claims far more"
        except images.UnidentifiedImageError:
            raise ValueError(f"{expected}, in one of the formats {', '.join(FORMATS)}") from None
        except Exception as error:  # a damaged file raises whatever its decoder meets
            said = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ValueError(f"{expected}: {said}") from None
        else:
            said = f"it has {width}x{height}"
    raise ValueError(f"{expected}, of at most {_files.PIXELS:,} pixels, but {said}")
