"""A neuron family run over time: for training, with feedback, and as deployed."""
