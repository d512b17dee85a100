"""Events, which are spikes with an address and a time: conversion to and from tensors and files, and animations."""

from lavadl_ref.slayer.io.aedat import read_aedat
from lavadl_ref.slayer.io.event import Event, tensor_to_event
from lavadl_ref.slayer.io.files import (
    encode_1d_spikes,
    encode_2d_spikes,
    encode_np_spikes,
    read_1d_spikes,
    read_2d_spikes,
    read_np_spikes,
)

__all__ = [
    "Event",
    "encode_1d_spikes",
    "encode_2d_spikes",
    "encode_np_spikes",
    "read_1d_spikes",
    "read_2d_spikes",
    "read_aedat",
    "read_np_spikes",
    "tensor_to_event",
]
