"""The report: scores, tables, pictures and the words that go with them."""
