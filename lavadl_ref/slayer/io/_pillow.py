"""Pillow, imported only when a picture is read or written."""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

from lavadl_ref import _extras, _files

if TYPE_CHECKING:
    from PIL.Image import Image

#: Formats that are read. The decoders of others start programs, or take memory unrelated to the size of the picture.
FORMATS = ("JPEG", "PNG", "BMP", "PPM", "WEBP")


def pillow(module: str = "Image") -> Any:
    """The module ``PIL.<module>``.

    Raises
    ------
    ImportError
        Pillow is not installed; the message says how to install it.
    """
    try:
        return importlib.import_module(f"PIL.{module}")
    except ImportError as error:
        raise ImportError(f"pictures need Pillow: {_extras.advice('pictures')}") from error


def picture(path: str | os.PathLike[str], what: str) -> Image:
    """The picture of a file, in red, green and blue.

    Parameters
    ----------
    path : path
        A file in one of `FORMATS`, of at most `_files.PIXELS` pixels. The size is checked before anything is decoded.
    what : str
        A description of the picture, for errors.

    Raises
    ------
    ImportError
        Pillow is missing.
    OSError
        The file is missing or cannot be read.
    ValueError
        The file is no such picture, or is damaged; the message begins with its name.
    """
    images = pillow()
    wanted = f"{os.fspath(path)} must be a picture, {what}"
    with _files.opened(path, what) as stream:
        try:
            with images.open(stream, formats=FORMATS) as found:
                width, height = found.size
                if width * height <= _files.PIXELS:
                    decoded: Image = found.convert("RGB")
                    return decoded
        except (images.DecompressionBombError, images.DecompressionBombWarning):
            given = "far more"
        except images.UnidentifiedImageError:
            raise ValueError(f"{wanted}, in one of the formats {', '.join(FORMATS)}, got something else") from None
        except Exception as error:  # a damaged file raises whatever its decoder meets
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ValueError(f"{wanted}, got a damaged file: {reason}") from None
        else:
            given = f"{width}x{height}"
    raise ValueError(f"{wanted}, of at most {_files.PIXELS:,} pixels, got {given}")
