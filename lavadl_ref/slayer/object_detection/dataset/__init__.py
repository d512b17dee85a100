"""Data sets of clips and their annotations."""

from lavadl_ref.slayer.object_detection.dataset import utils
from lavadl_ref.slayer.object_detection.dataset.bdd100k import BDD
from lavadl_ref.slayer.object_detection.dataset.moving_shapes import MovingShapes
from lavadl_ref.slayer.object_detection.dataset.prophesee_automotive import PropheseeAutomotive

__all__ = ["BDD", "MovingShapes", "PropheseeAutomotive", "utils"]
