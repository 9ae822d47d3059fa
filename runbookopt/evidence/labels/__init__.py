"""Files of labels: lines that are only ever added, and tables and annotations of other tools."""
