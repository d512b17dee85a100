"""The operations between two layers of neurons: synapses, delays, filters, layouts, rate curves."""
