"""Parts of the report that a pull request carries."""
