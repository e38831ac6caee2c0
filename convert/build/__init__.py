"""From a source to artifacts, and from artifacts to a bundle: every step timed, proved, and told in a report."""
