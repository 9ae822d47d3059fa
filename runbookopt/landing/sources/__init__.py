"""Sources of evidence: how far each is trusted, which commit brought it, and what rests on one alone."""
