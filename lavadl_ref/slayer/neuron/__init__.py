"""Spiking neurons."""

from lavadl_ref.slayer.neuron import adrf as adrf
from lavadl_ref.slayer.neuron import adrf_iz as adrf_iz
from lavadl_ref.slayer.neuron import alif as alif
from lavadl_ref.slayer.neuron import cuba as cuba
from lavadl_ref.slayer.neuron import dynamics as dynamics
from lavadl_ref.slayer.neuron import norm as norm
from lavadl_ref.slayer.neuron import rf as rf
from lavadl_ref.slayer.neuron import rf_iz as rf_iz
from lavadl_ref.slayer.neuron import sigma_delta as sigma_delta
from lavadl_ref.slayer.neuron.dropout import Dropout

__all__ = ["Dropout", "adrf", "adrf_iz", "alif", "cuba", "dynamics", "norm", "rf", "rf_iz", "sigma_delta"]
