"""What lies between two layers of neurons: synapses, delays, filters, layouts, rate curves."""
