"""Networks of integers: the form, how it is made, and its exact arithmetic."""
