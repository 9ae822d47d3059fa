"""How far the criteria of a rubric agree with people: labels, figures, and what may decide (pure)."""
