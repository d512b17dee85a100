"""Engines that run a neuron family over time: for training, with feedback, and as deployed."""
