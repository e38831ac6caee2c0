"""Host side: makes and proves the bundles that `edge` runs."""
