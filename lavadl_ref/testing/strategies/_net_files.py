"""Drawing the content of ``.net`` files, whole and damaged."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import strategies as st

from lavadl_ref import exchange
from lavadl_ref.exchange import Network
from lavadl_ref.testing import _damage
from lavadl_ref.testing.strategies._networks import networks
from lavadl_ref.testing.strategies._values import Drawn


def net_files(source: st.SearchStrategy[Network] | None = None) -> st.SearchStrategy[bytes]:
    """Content of ``.net`` files.

    Parameters
    ----------
    source : strategy of Network, optional
        The content of the files; `networks()` if not given.

    Returns
    -------
    strategy of bytes

    Examples
    --------
    >>> from hypothesis import HealthCheck, given, settings
    >>> @settings(max_examples=3, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    ... @given(data=net_files(networks("CUBA", "dense")))
    ... def test_reader(data):
    ...     assert isinstance(data, bytes)
    >>> test_reader()
    """
    return (networks() if source is None else source).map(_content)


def corrupted_net_files(source: st.SearchStrategy[Network] | None = None) -> st.SearchStrategy[bytes]:
    """Content of damaged ``.net`` files.

    Bytes are changed, cut off or swapped for others; datasets and groups go missing, appear, change places or
    become links; values have other types, ranges and shapes.  A change may hit what does not
    matter: reading such a file either gives a legal network or raises `ExchangeError`.

    Parameters
    ----------
    source : strategy of Network, optional
        The content of the files before the damage; `networks()` if not given.

    Returns
    -------
    strategy of bytes

    Examples
    --------
    >>> from hypothesis import HealthCheck, given, settings
    >>> @settings(max_examples=3, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    ... @given(data=corrupted_net_files(networks("CUBA", "dense")))
    ... def test_reader(data):
    ...     assert isinstance(data, bytes)
    >>> test_reader()
    """
    return net_files(source).flatmap(_damaged)


@st.composite
def _damaged(draw: st.DrawFn, data: bytes) -> bytes:
    # twice as often where a change surely matters
    kinds = (_damage.edited, _damage.edited, _damage.flipped, _damage.overwritten, _damage.truncated)
    return draw(st.sampled_from(kinds))(Drawn(draw), data)


def _content(network: Network) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x.net")
        exchange.write(path, network)
        return path.read_bytes()
