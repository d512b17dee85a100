"""A described layer as kernel parameters and scales: the public name of `lavadl_ref.deployed.deployment`."""

from lavadl_ref.deployed.deployment import *  # noqa: F403
from lavadl_ref.deployed.deployment import __all__ as __all__
