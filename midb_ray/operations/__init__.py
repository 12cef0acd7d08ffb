"""Running jobs on clusters: submit them, and know beforehand what they take."""
