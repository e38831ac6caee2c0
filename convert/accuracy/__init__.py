"""How well a bundle tells people apart: labelled pictures end to end through `edge`, and the thresholds measured on them."""
